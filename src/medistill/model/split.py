"""Image backbones whose lowest layers can be run on their own."""

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any, NamedTuple

from torch import Tensor

from medistill.errors import CallError

Also = Callable[[Any, Tensor, int], tuple[Any, ...]]
"""Backbone, hidden features, side of the images in pixels -> what a layer takes besides the features."""


class Split(NamedTuple):
    """Where transformers keeps the parts of a backbone: names of its modules."""

    stem: tuple[str, ...]
    """What comes before the layers."""
    layers: str
    """Of which each takes what the one before it gave."""
    norm: str
    """What comes behind them; empty for nothing that the features go through."""
    also: Also
    stages: bool = False
    """Whether its layers are stages of several."""
    beside: tuple[str, ...] = ()
    """What `also` asks: below frozen layers and above them it must say the same."""


def image_split(kind: str, layers: int) -> Split:
    """That of a type of image tower; CallError, which names the layers asked for, for one that has none."""
    if kind not in _SPLITS:
        raise CallError(
            f"image.frozen_layers is {layers}; it works for {', '.join(_SPLITS)}, not for a tower of type "
            f"{kind}: leave it out, or take --image.locked"
        )
    return _SPLITS[kind]


def _nothing(backbone: Any, hidden: Tensor, side: int) -> tuple[Any, ...]:
    return ()


def _no_mask(backbone: Any, hidden: Tensor, side: int) -> tuple[Any, ...]:
    """Every patch sees every other."""
    return (None,)


def _rotations(backbone: Any, hidden: Tensor, side: int) -> tuple[Any, ...]:
    """DINOv3 turns queries and keys by their places, which it reads off an image's shape."""
    weight = backbone.embeddings.patch_embeddings.weight
    image = weight.new_empty(0, 1, side, side)
    return None, backbone.rope_embeddings(image)


def _grid(backbone: Any, hidden: Tensor, side: int) -> tuple[Any, ...]:
    """Swin's patches lie in a square."""
    across = isqrt(hidden.shape[1])
    return ((across, across),)


_VIT = Split(("embeddings",), "layers", "layernorm", _no_mask)
_DINO = Split(("embeddings",), "encoder.layer", "layernorm", _no_mask)
_STAGES = Split(("embeddings",), "encoder.stages", "", _nothing, stages=True)
_SPLITS: Mapping[str, Split] = {
    **dict.fromkeys(("vit", "deit"), _VIT),
    **dict.fromkeys(("dinov2", "dinov2_with_registers"), _DINO),
    "dinov3_vit": Split(("embeddings",), "model.layer", "norm", _rotations, beside=("rope_embeddings",)),
    "clip_vision_model": Split(("embeddings", "pre_layrnorm"), "encoder.layers", "", _no_mask),
    "siglip_vision_model": Split(("embeddings",), "encoder.layers", "post_layernorm", _no_mask),
    "swin": Split(("embeddings",), "encoder.layers", "layernorm", _grid, stages=True),
    "resnet": Split(("embedder",), "encoder.stages", "", _nothing, stages=True),
    **dict.fromkeys(("convnext", "convnextv2"), _STAGES),
}
