"""Contrastive losses: pure functions of embeddings, in float32 or wider."""

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
        target = target / target.sum(dim=1, keepdim=True)
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


def in_batch_contrast(
    image: Float[Tensor, "b d"],
    text: Float[Tensor, "b d"],
    image_target: Float[Tensor, "b b"],
    text_target: Float[Tensor, "b b"],
    *,
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """InfoNCE over live embeddings: the mean of image-to-text and text-to-image, in nats."""
    forth = contrast(image, text, image_target, scale=scale)
    back = contrast(text, image, text_target, scale=scale)
    return (forth + back) / 2


def _wide(x: Tensor) -> Tensor:
    """float32, or float64 where the caller already is."""
    return x if x.dtype == torch.float64 else x.float()
