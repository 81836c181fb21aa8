"""Which towers other libraries' dual encoders can hold, and the patch weights that take color."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from medistill.errors import CallError
from medistill.model.dual import DualEncoder

TEXT_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, what Pillow's conversion to grey weighs red, green and blue with."""


def expect_vit_and_bert(model: DualEncoder, library: str) -> None:
    """CallError naming the tower that `library` has no place for, and ONNX."""
    image, text = model.image.config, model.text.config
    if image.model_type != "vit":
        raise CallError(refusal(library, f"an image tower of type {image.model_type}", "ViT"))
    if text.model_type not in TEXT_TYPES:
        raise CallError(refusal(library, f"a text tower of type {text.model_type}", "BERT or RoBERTa"))


def refusal(library: str, found: str, takes: str) -> str:
    """One line: what cannot be expressed, what could, and what to do."""
    return f"{library} cannot express {found}, only {takes}: use --to onnx, which takes every model"


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
    return model.image.backbone.get_submodule("embeddings.patch_embeddings.projection")
