"""The dual encoder: two towers, one shared space, one scale."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from medistill.data.image import grey_array, letterbox
from medistill.model.economy import economize
from medistill.model.encoder import ImageTower, TextTower, unit_rows
from medistill.model.grounding import PhraseMap, contributions, phrase_map
from medistill.model.projection import HeadKind, make_projection
from medistill.model.tokenizer import load_tokenizer, pad_id, token_count, tokenize, train_tokenizer
from medistill.model.towers.build import build_image_tower, build_text_tower
from medistill.recipe import Recipe

MIN_SCALE, MAX_SCALE = 1.0, 100.0


class Embeddings(NamedTuple):
    """What one forward pass gives."""

    image: Float[Tensor, "b d"]
    """Unit norm."""
    text: Float[Tensor, "b d"]
    """Unit norm."""
    scale: Float[Tensor, ""]
    bias: Float[Tensor, ""]
    """Added to scaled similarities by `siglip`; 0 where nothing learns it."""


class Head(NamedTuple):
    """What the towers share."""

    scale: Float[Tensor, ""]
    bias: Float[Tensor, ""]


class DualEncoder(nn.Module):
    """Image tower and text tower, each with a projection to unit vectors of width `dim`.

    `size`, `channels`, `mean` and `std` say how 8-bit grey images become input; `max_tokens` cuts texts.
    """

    def __init__(
        self,
        image: ImageTower,
        text: TextTower,
        tokenizer: Tokenizer,
        *,
        dim: int,
        size: int,
        channels: int,
        mean: float,
        std: float,
        max_tokens: int,
        scale: float,
        bias: float | None = None,
        head: HeadKind = "linear",
    ):
        super().__init__()
        self.image, self.text, self.tokenizer = image, text, tokenizer
        self.dim, self.size, self.channels = dim, size, channels
        self.mean, self.std, self.max_tokens = mean, std, max_tokens
        self.head_kind: HeadKind = head
        self.image_projection = make_projection(head, image.width, dim)
        self.text_projection = make_projection(head, text.width, dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(bias))
        self.prompts: Mapping[str, Any] | None = None
        """What its folder says to ask it about findings; None if that says nothing."""
        self.left_out: Mapping[str, Any] | None = None
        """The fold of which corpus it was not trained on; None where it had the corpus's own splits."""

    def forward(
        self,
        images: UInt8[Tensor, "b h w"],
        tokens: Int[Tensor, "b l"],
        mask: Bool[Tensor, "b l"],
        lower: tuple[Tensor | None, Tensor | None] | None = None,
    ) -> Embeddings:
        """Unit embeddings of b pairs, scale and bias: the one way in while training.

        lower   what the frozen parts of the image and the text tower give, where it has been computed before
        """
        lower_image, lower_text = lower or (None, None)
        text = self.embed_tokens(tokens, mask, lower_text)
        return Embeddings(self.embed_images(images, lower_image), text, *self.head())

    def head(self) -> Head:
        """Scale and bias, with the gradient of what is made of them."""
        scale = self.log_scale.exp()
        return Head(scale, torch.zeros_like(scale) if self.bias is None else self.bias)

    def embed_images(
        self, images: UInt8[Tensor, "b h w"], lower: Float[Tensor, "b ..."] | None = None
    ) -> Float[Tensor, "b d"]:
        """Unit embeddings of 8-bit grey images of the model's size.

        lower   what `lower_images(images)` gives, if it has been computed before; `images` may then be empty
        """
        return self._projected(self.image(self._pixels(images), lower))

    def lower_images(self, images: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b ..."]:
        """What the frozen part of the image tower makes of them."""
        return self.image.lower(self._pixels(images))

    def _pixels(self, images: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        pixels = (images[:, None].to(self.log_scale.dtype) / 255 - self.mean) / self.std
        return pixels.expand(-1, self.channels, -1, -1)

    def _projected(self, pooled: Float[Tensor, "b e"]) -> Float[Tensor, "b d"]:
        return unit_rows(self.image_projection(pooled))

    def embed_tokens(
        self,
        tokens: Int[Tensor, "b l"],
        mask: Bool[Tensor, "b l"],
        lower: Float[Tensor, "b ..."] | None = None,
    ) -> Float[Tensor, "b d"]:
        """Unit embeddings of token ids.

        lower   what `self.text.lower(tokens, mask)` gives, if it has been computed before
        """
        return unit_rows(self.text_projection(self.text(tokens, mask, lower)))

    @property
    def scale(self) -> float:
        """What similarities are multiplied by."""
        return float(self.log_scale.detach().exp())

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What becomes of an image and a text on their way in, for evaluation.json."""
        return {
            "by": "medistill",
            "resize": self.size,
            "interpolation": "bicubic",
            "crop": "none: aspect kept, padded with 0 to a square",
            "rescale": 1 / 255,
            "mean": self.mean,
            "std": self.std,
            "channels": self.channels,
            "max_tokens": self.max_tokens,
            "text_padding": "longest",
        }

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Keep the scale within 1..100, in place."""
        self.log_scale.clamp_(math.log(MIN_SCALE), math.log(MAX_SCALE))

    @torch.no_grad()
    def encode_images(
        self, images: Sequence[Image.Image | np.ndarray], *, batch_size: int = 64
    ) -> Float[Tensor, "n d"]:
        """Unit rows on the CPU for PIL images or 2-D uint8 arrays of any size."""
        if not len(images):
            return torch.zeros(0, self.dim)
        return self._in_eval(self.embed_images, self._squares(_arrays(images)).split(batch_size))

    def phrase_maps(
        self,
        images: Sequence[Image.Image | np.ndarray],
        phrases: Float[Tensor, "n d"],
        *,
        batch_size: int = 32,
    ) -> list[PhraseMap]:
        """Where each image holds what its phrase says.

        phrases   a row an image of `encode_texts`, or of its differences: what is said less what is denied.
        NoPlacesError if the image tower has no features of places.
        """
        maps: list[PhraseMap] = []
        with self._still():
            for start in range(0, len(images), batch_size):
                arrays = _arrays(images[start : start + batch_size])
                pixels = self._pixels(self._squares(arrays).to(self.log_scale.device))
                rows = phrases[start : start + batch_size].to(pixels)
                parts = contributions(self.image, pixels, self._projected, rows)
                for array, features, slope in zip(arrays, *parts, strict=True):
                    maps.append(phrase_map(features, slope, (array.shape[0], array.shape[1]), self.size))
        return maps

    def _squares(self, images: Sequence[np.ndarray]) -> UInt8[Tensor, "b s s"]:
        return torch.from_numpy(np.stack([letterbox(image, self.size) for image in images]))

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64) -> Float[Tensor, "n d"]:
        """Unit rows on the CPU."""
        if not len(texts):
            return torch.zeros(0, self.dim)
        parts = [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]

        def embed(part: Sequence[str]) -> Tensor:
            tokens, mask = tokenize(self.tokenizer, part, self.max_tokens)
            device = self.log_scale.device
            return self.embed_tokens(tokens.to(device), mask.to(device))

        return self._in_eval(embed, parts)

    def _in_eval(self, embed: Any, parts: Sequence[Any]) -> Float[Tensor, "n d"]:
        """Rows of all parts with dropout off."""
        device = self.log_scale.device
        with self._still():
            moved = (p.to(device) if isinstance(p, Tensor) else p for p in parts)
            return torch.cat([embed(part).float().cpu() for part in moved])

    @contextmanager
    def _still(self) -> Generator[None]:
        """In eval mode, and afterwards in the mode before."""
        if not self.training:  # to go through all modules for each batch is a sixteenth of a small one's time
            yield
            return
        self.eval()
        try:
            yield
        finally:
            self.train()


def build_model(recipe: Recipe, texts: Sequence[str], patients: Sequence[str]) -> DualEncoder:
    """The model a recipe describes; the tokenizer is trained on `texts` unless the text tower brings one."""
    if recipe.text.pretrained:
        tokenizer = load_tokenizer(recipe.text.pretrained)
    else:
        tokenizer = train_tokenizer(
            texts, patients, vocabulary=recipe.vocabulary, min_patients=recipe.min_patients
        )
    return assemble(recipe, tokenizer, vocabulary=tokenizer.get_vocab_size())


def assemble(recipe: Recipe, tokenizer: Tokenizer, *, vocabulary: int) -> DualEncoder:
    """The model a recipe describes around that tokenizer, with room for `vocabulary` tokens."""
    image = build_image_tower(recipe.image, size=recipe.size, channels=recipe.channels)
    text = build_text_tower(
        recipe.text,
        vocabulary=vocabulary,
        pad=pad_id(tokenizer),
        max_tokens=recipe.max_tokens,
        tokens=token_count(tokenizer),
    )
    economize(image, text, recipe)
    return DualEncoder(
        image,
        text,
        tokenizer,
        dim=recipe.dim,
        size=recipe.size,
        channels=recipe.channels,
        mean=recipe.mean,
        std=recipe.std,
        max_tokens=recipe.max_tokens,
        scale=recipe.scale,
        bias=recipe.bias if recipe.objective == "siglip" else None,
        head=recipe.head,
    )


def _arrays(images: Sequence[Image.Image | np.ndarray]) -> list[np.ndarray]:
    return [grey_array(image) if isinstance(image, Image.Image) else image for image in images]
