"""Contrastive losses: pure functions of embeddings, in float32 or wider."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def positive_mask(
    study: Int[Tensor, " b"],
    text: Int[Tensor, " b"],
    key_study: Int[Tensor, " n"],
    key_text: Int[Tensor, " n"],
) -> Bool[Tensor, "b n"]:
    """Keys of the same study or the same normalized text as each query."""
    return (study[:, None] == key_study) | (text[:, None] == key_text)


def soft_targets(
    teacher: Float[Tensor, "b d"],
    keys: Float[Tensor, "n d"],
    positive: Bool[Tensor, "b n"],
    *,
    teacher_scale: Float[Tensor, ""],
    alpha: float,
) -> Float[Tensor, "b n"]:
    """The distribution over keys each query is asked for; rows sum to 1, no gradient.

    target_i = (1 - alpha) * positive_i / |positive_i| + alpha * softmax(teacher_scale * teacher_i @ keys.T)
    """
    with torch.no_grad(), torch.autocast(keys.device.type, enabled=False):
        target = positive.to(_wide(keys).dtype)
        target = target / target.sum(dim=1, keepdim=True)  # never by zero: a query is its own positive
        if alpha:
            belief = (_wide(teacher_scale) * _wide(teacher) @ _wide(keys).T).softmax(dim=1)
            target = torch.lerp(target, belief, alpha)
        return target


def contrast(
    query: Float[Tensor, "b d"],
    keys: Float[Tensor, "n d"],
    target: Float[Tensor, "b n"],
    *,
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Cross-entropy of softmax(scale * query @ keys.T) against `target`: mean over the b queries, in nats."""
    with torch.autocast(query.device.type, enabled=False):  # bf16 logits are off by ~0.3 at scale 100
        return F.cross_entropy(_wide(scale) * _wide(query) @ _wide(keys).T, target)


def distilled_contrast(
    query: Float[Tensor, "b d"],
    keys: Float[Tensor, "n d"],
    teacher: Float[Tensor, "b d"],
    positive: Bool[Tensor, "b n"],
    *,
    scale: Float[Tensor, ""],
    teacher_scale: Float[Tensor, ""],
    alpha: float,
) -> Float[Tensor, ""]:
    """Cross-entropy of each query over all `n` keys, softened by the teacher's ranking (see `soft_targets`).

    Two patients with the same finding have near-identical reports; the soft targets keep the loss
    from pushing such pairs apart as hard as unrelated ones.

    query     student embeddings, unit norm. With `scale`, the only input given a gradient.
    keys      teacher embeddings of the *other* modality, over the whole window (and queue).
    teacher   teacher embeddings of the same samples, in the same modality, as `query`.
    positive  keys of the same study or the same normalized text; at least one a row.
    returns   mean over the b queries, in nats.
    """
    target = soft_targets(teacher, keys, positive, teacher_scale=teacher_scale, alpha=alpha)
    return contrast(query, keys.detach(), target, scale=scale)


def symmetric_contrast(
    image: Float[Tensor, "b d"],
    text: Float[Tensor, "b d"],
    image_keys: Float[Tensor, "n d"],
    text_keys: Float[Tensor, "n d"],
    to_text: Float[Tensor, "b n"],
    to_image: Float[Tensor, "b n"],
    *,
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """The mean of image-to-text and text-to-image `contrast`, in nats.

    to_text, to_image   what images and what texts are asked for: a distribution over the keys a row.
    """
    forth = contrast(image, text_keys, to_text, scale=scale)
    back = contrast(text, image_keys, to_image, scale=scale)
    return (forth + back) / 2


def info_nce(
    image: Float[Tensor, "b d"],
    text: Float[Tensor, "b d"],
    image_keys: Float[Tensor, "n d"],
    text_keys: Float[Tensor, "n d"],
    positive: Bool[Tensor, "b n"],
    *,
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE (van den Oord et al. 2018; CLIP) with the positives of a row sharing its target."""
    target = positive.to(_wide(image).dtype)
    target = target / target.sum(dim=1, keepdim=True)
    return symmetric_contrast(image, text, image_keys, text_keys, target, target, scale=scale)


def pairwise_sigmoid(
    image: Float[Tensor, "b d"],
    text_keys: Float[Tensor, "n d"],
    positive: Bool[Tensor, "b n"],
    *,
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """SigLIP (Zhai et al. 2023): every image-text pair by itself is or is not one that belongs together.

        loss_i = - sum_j log sigmoid(z_ij (scale * image_i @ text_j + bias)), z = 1 for positives, else -1

    returns   mean over the b images of the sum over the n texts, in nats.
    """
    with torch.autocast(image.device.type, enabled=False):
        logits = _wide(scale) * _wide(image) @ _wide(text_keys).T + _wide(bias)
        return -F.logsigmoid(torch.where(positive, logits, -logits)).sum(dim=1).mean()


def log_normalizers(
    query: Float[Tensor, "b d"],
    keys: Float[Tensor, "n d"],
    positive: Bool[Tensor, "b n"],
    own: Int[Tensor, " b"],
    *,
    scale: Float[Tensor, ""],
) -> Float[Tensor, " b"]:
    """log g_i of global contrast (Yuan et al. 2022), of a batch: -inf for a query without a negative.

        g_i = mean over the negatives j of exp(scale (query_i @ keys_j - query_i @ keys_own(i)))

    own   the key of each query's own pair; every positive is left out of the mean
    """
    with torch.autocast(query.device.type, enabled=False):
        logits = _wide(scale) * _wide(query) @ _wide(keys).T
        logits = logits - logits.gather(1, own[:, None])
        alone = positive.all(dim=1)
        # A sum over nothing has no gradient that is a number: such a row keeps its keys until the end.
        mean = logits.masked_fill(positive & ~alone[:, None], -math.inf).logsumexp(dim=1)
        mean = mean - (~positive).sum(dim=1).clamp(min=1).to(mean.dtype).log()
        return torch.where(alone, -math.inf, mean)


def _wide(x: Tensor) -> Tensor:
    """float32, or float64 where the caller already is."""
    return x if x.dtype == torch.float64 else x.float()
