"""Image and text towers: a transformers model and how its output is pooled."""

from math import isqrt
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.masking_utils import create_bidirectional_mask

from medistill.errors import CallError
from medistill.model.norms import keep_half

Pooling = Literal["mean", "cls"]
_SPLIT = ("bert", "roberta", "xlm-roberta", "camembert")
"""Types of text tower whose layers are called alike, so that the lowest can be run on their own."""


class Tower(nn.Module):
    """A transformers backbone, pooled to one row of `width` a sample."""

    def __init__(self, backbone: nn.Module, config: PretrainedConfig, pooling: Pooling, *, frozen_norm: bool):
        super().__init__()
        keep_half(backbone)
        self.backbone = backbone
        self.config = config
        self.pooling: Pooling = pooling
        self.frozen_norm = frozen_norm
        self.compiled = ""
        self.width = 0
        """Numbers a sample, known once the tower has been tried."""

    def train(self, mode: bool = True) -> "Tower":
        """As in torch, but pretrained BatchNorm stays as it is: micro-batches are too small to renew it."""
        super().train(mode)
        if self.frozen_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def compile_with(self, backend: str) -> None:
        """Compile the backbone at its first call; names of weights stay."""
        self.compiled = backend
        for part in self.called_parts():
            part.compile(backend=backend)

    def called_parts(self) -> list[nn.Module]:
        """The parts of the backbone that `forward` calls."""
        return [self.backbone]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As in torch, but the copy of a compiled tower is compiled too: the teacher is such a copy."""
        super().__setstate__(state)
        if self.compiled:
            self.compile_with(self.compiled)


class ImageTower(Tower):
    """Grey radiographs to one vector each."""

    channels_last = False

    def use_channels_last(self) -> None:
        """Keep weights and images as (b, h, w, c) in memory, their shapes unchanged."""
        self.channels_last = True
        self.backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e"]:
        """Pooled features of normalized images."""
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self.pooled(self.backbone(images).last_hidden_state, images)

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

    frozen_layers = 0
    normalized = False
    """Whether rows are made unit, as some models of sentence-transformers have it."""

    def freeze_lowest(self, layers: int) -> None:
        """Give the embeddings and the `layers` lowest layers no gradient and no dropout; 0 changes nothing.

        CallError for a tower whose layers are not BERT's, or that has fewer.
        """
        if not layers:
            return
        kind = self.config.model_type
        if kind not in _SPLIT:
            raise CallError(
                f"text.frozen_layers is {layers}; it works for {', '.join(_SPLIT)}, "
                f"not for a tower of type {kind}"
            )
        there = len(self._layers)
        if not 0 < layers <= there:
            raise CallError(f"text.frozen_layers is {layers}; the text tower has {there} layers")
        self.frozen_layers = layers
        for part in self._frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "TextTower":
        """As for every tower, but frozen layers stay in eval mode: no dropout."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(
        self,
        tokens: Int[Tensor, "b l"],
        mask: Bool[Tensor, "b l"],
        lower: Float[Tensor, "b l e"] | None = None,
    ) -> Float[Tensor, "b e"]:
        """Pooled features; `mask` is True at tokens and False at padding.

        lower   what `lower(tokens, mask)` gives, if it has been computed before.
        """
        if self.frozen_layers:
            return self.upper(self.lower(tokens, mask) if lower is None else lower, mask)
        hidden = self.backbone(input_ids=tokens, attention_mask=self._attention(mask)).last_hidden_state
        return self._pooled(hidden, mask)

    @torch.no_grad()
    def lower(self, tokens: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b l e"]:
        """What the frozen part makes of the tokens: the same in student and teacher."""
        hidden: Tensor = self.backbone.get_submodule("embeddings")(input_ids=tokens)
        return self._through(self._layers[: self.frozen_layers], hidden, mask)

    def upper(self, hidden: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b e"]:
        """Pooled features of what `lower` gave."""
        return self._pooled(self._through(self._layers[self.frozen_layers :], hidden, mask), mask)

    def called_parts(self) -> list[nn.Module]:
        """The whole backbone, or with frozen layers its embeddings and each layer."""
        return [*self._frozen, *self._layers[self.frozen_layers :]] if self.frozen_layers else [self.backbone]

    @property
    def _layers(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.backbone.get_submodule("encoder.layer"))

    @property
    def _frozen(self) -> list[nn.Module]:
        if not self.frozen_layers:
            return []
        return [self.backbone.get_submodule("embeddings"), *self._layers[: self.frozen_layers]]

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
