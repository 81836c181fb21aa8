"""A network of another library behind the methods that evaluation asks for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor, nn

from medistill.data.image import checked_grey, grey_array
from medistill.errors import CallError, first_line

_WORDS = 300
"""Of the long text that a model is tried with: more than most take, so that it is cut."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignModel:
    """Somebody else's network with the preprocessing and the tokenizer it was trained with.

    It stays on the device its network is on. Rows leave as unit vectors in float32 on the CPU.
    """

    network: nn.Module
    image_features: Callable[[Sequence[Image.Image]], Tensor]
    """Rows, not yet unit, for pictures of mode `mode` and any size."""
    text_features: Callable[[Sequence[str]], Tensor]
    scale: float
    bias: float
    """Added to scaled similarities by sigmoid models; 0 elsewhere."""
    mode: str
    """Pillow's name of what the image processor is given: RGB, or L for a network of one channel."""
    preprocessing: Mapping[str, Any]
    """What becomes of an image and a text on their way in, for evaluation.json."""
    dim: int = 0

    @torch.no_grad()
    def encode_images(
        self, images: Sequence[Image.Image | np.ndarray], *, batch_size: int = 64
    ) -> Float[Tensor, "n d"]:
        """Unit rows on the CPU for PIL images or 2-D uint8 arrays of any size."""
        return self._rows(
            lambda part: self.image_features([_picture(x, self.mode) for x in part]), images, batch_size
        )

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64) -> Float[Tensor, "n d"]:
        """Unit rows on the CPU."""
        return self._rows(self.text_features, texts, batch_size)

    def state_dict(self) -> dict[str, Tensor]:
        """The network's, which its hash is made of."""
        return self.network.state_dict()

    def _rows(
        self, features: Callable[[Any], Tensor], items: Sequence[Any], batch_size: int
    ) -> Float[Tensor, "n d"]:
        if not len(items):
            return torch.zeros(0, self.dim)
        parts = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
        return torch.cat([F.normalize(features(part).float(), dim=1).cpu() for part in parts])


def tried(name: str, model: ForeignModel) -> ForeignModel:
    """The model with its width, after an image and a long text went through it; CallError if they cannot.

    The image goes through twice: a model that draws random numbers in eval mode is refused.
    """
    noise = np.random.default_rng(0).integers(0, 256, (64, 48), dtype=np.uint8)
    try:
        image, again = model.encode_images([noise]), model.encode_images([noise])
        text = model.encode_texts(["normal", "normal " * _WORDS])
    except Exception as error:  # whatever an unfitting processor, tokenizer and network make of each other
        raise CallError(
            f"{name} cannot embed an image and a text: its image processor, tokenizer and weights do not fit "
            f"({first_line(error)})"
        ) from error
    if image.shape[1] != text.shape[1] or not (image.isfinite().all() and text.isfinite().all()):
        raise CallError(
            f"{name} gives images {image.shape[1]} and texts {text.shape[1]} numbers, expected one width and "
            "no NaN: the model is not a pair of encoders into one space"
        )
    if not torch.equal(image, again):
        raise CallError(
            f"{name} gives another embedding of the same image each time, also in eval mode; use a model "
            "that draws no random numbers there"
        )
    return replace(model, dim=image.shape[1])


def device_of(network: nn.Module) -> torch.device:
    """Where its weights are."""
    return next(network.parameters()).device


def _picture(image: Image.Image | np.ndarray, mode: str) -> Image.Image:
    """8-bit, upright, of that mode; color stays where the network sees color."""
    if isinstance(image, Image.Image):
        color = image.mode == "RGB"
        return (ImageOps.exif_transpose(image) if color else Image.fromarray(grey_array(image))).convert(mode)
    return Image.fromarray(checked_grey(image)).convert(mode)
