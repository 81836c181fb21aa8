"""Image and text towers: a transformers model and how its output is pooled."""

from math import isqrt
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

from medistill.errors import CallError
from medistill.model.split import image_split
from medistill.model.tower import Tower

_SPLIT = ("bert", "roberta", "xlm-roberta", "camembert")
"""Types of text tower whose layers are called alike, so that the lowest can be run on their own."""


class ImageTower(Tower):
    """Grey radiographs to one vector each."""

    channels_last = False
    side = 0
    """Of its images, in pixels; known where layers are frozen."""

    def freeze_lowest(self, layers: int, side: int) -> None:
        """Give the stem and the `layers` lowest layers, or stages, no gradient and no dropout.

        CallError for a tower that has fewer, or whose layers cannot be run on their own.
        """
        stages = image_split(self.config.model_type, layers).stages
        self._expect_layers("image", layers, "stages" if stages else "layers")
        self.frozen_layers, self.side = layers, side
        self._freeze()

    def use_channels_last(self) -> None:
        """Keep weights and images as (b, h, w, c) in memory, their shapes unchanged."""
        self.channels_last = True
        self.backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(
        self, images: Float[Tensor, "b c h w"], lower: Float[Tensor, "b ..."] | None = None
    ) -> Float[Tensor, "b e"]:
        """Pooled features of normalized images.

        lower   what `lower(images)` gives, if it has been computed before; `images` are not looked at then
        """
        if self.splits:
            return self.upper(self.lower(images) if lower is None else lower)
        return self._whole(images)

    @torch.no_grad()
    def lower(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """What the frozen part makes of the images: the same in student and teacher."""
        if self.locked:
            return self._whole(images)
        hidden: Any = self._laid_out(images)
        for part in self._stem():
            hidden = part(hidden)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden  # Swin's tells the grid as well
        return self._through(self._layers()[: self.frozen_layers], hidden)

    def upper(self, hidden: Float[Tensor, "b ..."]) -> Float[Tensor, "b e"]:
        """Pooled features of what `lower` gave."""
        if self.locked:
            return hidden
        split = image_split(self.config.model_type, self.frozen_layers)
        features = self._through(self._layers()[self.frozen_layers :], self._laid_out(hidden))
        if split.norm:
            features = self.backbone.get_submodule(split.norm)(features)
        # Pooling asks the images for no more than their shape.
        shaped = hidden.new_empty(1, 1, 1, 1).expand(len(hidden), 1, self.side, self.side)
        return self.pooled(features, shaped)

    def _whole(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e"]:
        return self.pooled(self.backbone(self._laid_out(images)).last_hidden_state, images)

    def _laid_out(self, x: Tensor) -> Tensor:
        last = self.channels_last and x.ndim == 4
        return x.contiguous(memory_format=torch.channels_last) if last else x

    def _stem(self) -> list[nn.Module]:
        stem = image_split(self.config.model_type, self.frozen_layers).stem
        return [self.backbone.get_submodule(name) for name in stem]

    def _beside(self) -> list[nn.Module]:
        beside = image_split(self.config.model_type, self.frozen_layers).beside
        return [self.backbone.get_submodule(name) for name in beside]

    def _layers(self) -> nn.ModuleList:
        layers = image_split(self.config.model_type, self.frozen_layers).layers
        return cast(nn.ModuleList, self.backbone.get_submodule(layers))

    def _through(self, layers: nn.ModuleList, hidden: Tensor) -> Tensor:
        also = image_split(self.config.model_type, self.frozen_layers).also
        for layer in layers:
            hidden = layer(hidden, *also(self.backbone, hidden, self.side))
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return hidden

    def pooled(self, features: Tensor, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e"]:
        """One row an image of the backbone's last features of it; a model of timm pools them its own way."""
        if self._timm is not None:
            return self._timm.forward_head(features)
        if features.ndim == 4:
            return features.mean(dim=(2, 3))
        if self.pooling == "cls":
            return features[:, 0]
        down, across = self._patches(images)
        return features[:, features.shape[1] - down * across :].mean(dim=1)

    def has_class_token(self, images: Float[Tensor, "b c h w"]) -> bool:
        """Whether the features of images begin with a token that stands for no place."""
        features: Tensor = self.backbone(images).last_hidden_state
        if not isinstance(getattr(self.config, "patch_size", None), int):
            return features.ndim == 3  # as far as its configuration tells
        down, across = self._patches(images)
        return features.ndim == 3 and features.shape[1] > down * across

    def grid(self, features: Tensor, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e g k"] | None:
        """A layer's features as a grid over the images; None if they do not stand for places."""
        if features.ndim != 3:
            return features if features.ndim == 4 and self._timm is None else None
        down, across = (
            self._patches(images) if isinstance(getattr(self.config, "patch_size", None), int) else (0, 0)
        )
        if not 0 < down * across <= features.shape[1]:  # a later stage of a tower that merges its patches
            down = across = isqrt(features.shape[1])
            if down * across != features.shape[1]:
                return None
        return features[:, features.shape[1] - down * across :].mT.unflatten(2, (down, across))

    @property
    def _timm(self) -> Any:
        """The network of timm in the backbone, or None."""
        return getattr(self.backbone, "timm_model", None)

    def _patches(self, images: Tensor) -> tuple[int, int]:
        """How many patches are below and beside each other; class and register tokens come before them."""
        patch = self.config.patch_size
        return images.shape[2] // patch, images.shape[3] // patch


class TextTower(Tower):
    """Token ids to one vector a text."""

    normalized = False
    """Whether rows are made unit, as some models of sentence-transformers have it."""

    def freeze_lowest(self, layers: int) -> None:
        """Give the embeddings and the `layers` lowest layers no gradient and no dropout.

        CallError for a tower whose layers are not BERT's, or that has fewer.
        """
        kind = self.config.model_type
        if kind not in _SPLIT:
            raise CallError(
                f"text.frozen_layers is {layers}; it works for {', '.join(_SPLIT)}, "
                f"not for a tower of type {kind}"
            )
        self._expect_layers("text", layers, "layers")
        self.frozen_layers = layers
        self._freeze()

    def forward(
        self,
        tokens: Int[Tensor, "b l"],
        mask: Bool[Tensor, "b l"],
        lower: Float[Tensor, "b ..."] | None = None,
    ) -> Float[Tensor, "b e"]:
        """Pooled features; `mask` is True at tokens and False at padding.

        lower   what `lower(tokens, mask)` gives, if it has been computed before.
        """
        if self.splits:
            return self.upper(self.lower(tokens, mask) if lower is None else lower, mask)
        return self._whole(tokens, mask)

    @torch.no_grad()
    def lower(self, tokens: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b ..."]:
        """What the frozen part makes of the tokens: the same in student and teacher."""
        if self.locked:
            return self._whole(tokens, mask)
        (embeddings,) = self._stem()
        return self._through(self._layers()[: self.frozen_layers], embeddings(input_ids=tokens), mask)

    def upper(self, hidden: Float[Tensor, "b ..."], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b e"]:
        """Pooled features of what `lower` gave."""
        if self.locked:
            return hidden
        return self._pooled(self._through(self._layers()[self.frozen_layers :], hidden, mask), mask)

    def _whole(self, tokens: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b e"]:
        hidden = self.backbone(input_ids=tokens, attention_mask=self._attention(mask)).last_hidden_state
        return self._pooled(hidden, mask)

    def _stem(self) -> list[nn.Module]:
        return [self.backbone.get_submodule("embeddings")]

    def _layers(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.backbone.get_submodule("encoder.layer"))

    def _through(
        self, layers: nn.ModuleList, hidden: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b l e"]:
        attention = create_bidirectional_mask(self.config, hidden, self._attention(mask))
        for layer in layers:
            hidden = layer(hidden, attention)
        return hidden

    def _attention(self, mask: Bool[Tensor, "b l"]) -> Tensor:
        """The mask as the backbone takes it; on a card ready made where it can be.

        One of two axes transformers asks whether it masks anything at all, which waits for the card.
        """
        config: Any = self.backbone.config
        if mask.is_cuda and config.model_type in _SPLIT and config._attn_implementation == "sdpa":
            return every_query(mask)
        return mask.long()

    def _pooled(self, features: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b e"]:
        if self.pooling == "cls":
            row = features[:, 0]
        else:
            weight = mask[..., None].to(features.dtype)
            row = (features * weight).sum(dim=1) / weight.sum(dim=1)
        return unit_rows(row) if self.normalized else row


def unit_rows(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Rows of norm 1, in float32 or wider whatever the tower's precision."""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=1)


def every_query(mask: Bool[Tensor, "b l"]) -> Bool[Tensor, "b 1 l l"]:
    """The tokens of its text for each token: what transformers makes of a mask for torch's own attention."""
    return mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
