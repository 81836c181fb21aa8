"""What the exports of a ViT with a BERT share: what fits, color, the tokenizer's files."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from medistill.errors import CallError
from medistill.model.dual import DualEncoder
from medistill.model.tokenizer import pad_id

TEXT_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")
PATCHES = "embeddings.patch_embeddings.projection"
"""What transformers calls the convolution that makes tokens of patches."""
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, what Pillow's conversion to grey weighs red, green and blue with."""
TEXTS = ("normal", "no effusion", "heart size is normal . the lungs are clear . no pneumothorax")
"""What an export is checked with, beside squares of noise."""
_ROLES = {
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def expect_vit_and_bert(model: DualEncoder, library: str) -> None:
    """CallError naming the tower or head that `library` has no place for, and ONNX."""
    image, text = model.image.config, model.text.config
    if image.model_type != "vit":
        raise CallError(refusal(library, f"an image tower of type {image.model_type}", "ViT"))
    if text.model_type not in TEXT_TYPES:
        raise CallError(refusal(library, f"a text tower of type {text.model_type}", "BERT or RoBERTa"))
    if model.head_kind != "linear":
        raise CallError(refusal(library, f"a {model.head_kind} head", "a linear one"))


def refusal(library: str, tower: str, takes: str) -> str:
    """One line: what cannot be expressed, what could, and what to do."""
    return f"{library} cannot express {tower}, only {takes}: use --to onnx, which takes every model"


def color_patches(model: DualEncoder) -> Float[Tensor, "e 3 p p"]:
    """The ViT's patch weights for red, green and blue: on a grey picture, the same as ours on its grey.

    Our tower sees one grey channel, or that one repeated; what it does with it is the sum over its channels,
    spread here by luma, so that a color picture is seen as the grey it would have been converted to.
    """
    weights: Tensor = patch_embedding(model).weight.detach()
    luma = torch.tensor(LUMA, dtype=weights.dtype)
    return weights.sum(dim=1, keepdim=True) * luma[:, None, None]


def patch_embedding(model: DualEncoder) -> Any:
    """The convolution that makes tokens of patches."""
    return model.image.backbone.get_submodule(PATCHES)


def write_tokenizer(model: DualEncoder, folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json: AutoTokenizer cuts and pads on them as the model does."""
    bare = Tokenizer.from_str(model.tokenizer.to_str())
    bare.no_truncation()
    bare.no_padding()
    known = {
        role: next((word for word in words if bare.token_to_id(word) is not None), None)
        for role, words in _ROLES.items()
    }
    PreTrainedTokenizerFast(
        tokenizer_object=bare,
        model_max_length=model.max_tokens,
        pad_token=bare.id_to_token(pad_id(model.tokenizer)),
        **{role: word for role, word in known.items() if word},
    ).save_pretrained(folder)
