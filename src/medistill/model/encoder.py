"""Image and text towers: a transformers model and how its output is pooled."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig
from transformers.masking_utils import create_bidirectional_mask

from medistill.errors import CallError
from medistill.recipe import Encoder

Pooling = Literal["mean", "cls"]
_SPLIT = ("bert", "roberta", "xlm-roberta", "camembert")
"""Types of text tower whose layers are called alike, so that the lowest can be run on their own."""


class Tower(nn.Module):
    """A transformers backbone, pooled to one row of `width` a sample."""

    def __init__(self, backbone: nn.Module, config: PretrainedConfig, pooling: Pooling, *, frozen_norm: bool):
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.pooling: Pooling = pooling
        self.frozen_norm = frozen_norm
        self.compiled = ""
        self.width = int(getattr(config, "hidden_size", 0) or config.hidden_sizes[-1])

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
        """One row an image of the backbone's last features of it."""
        if features.ndim == 4:
            return features.mean(dim=(2, 3))
        if self.pooling == "cls":
            return features[:, 0]
        down, across = self._patches(images)
        return features[:, features.shape[1] - down * across :].mean(dim=1)

    def grid(self, features: Tensor, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e g k"] | None:
        """A layer's features as a grid over the images; None if they do not stand for places."""
        if features.ndim != 3:
            return features if features.ndim == 4 else None
        down, across = (
            self._patches(images) if isinstance(getattr(self.config, "patch_size", None), int) else (0, 0)
        )
        if not 0 < down * across <= features.shape[1]:  # a later stage of a tower that merges its patches
            down = across = isqrt(features.shape[1])
            if down * across != features.shape[1]:
                return None
        return features[:, features.shape[1] - down * across :].mT.unflatten(2, (down, across))

    def _patches(self, images: Tensor) -> tuple[int, int]:
        """How many patches are below and beside each other; class and register tokens come before them."""
        patch = self.config.patch_size
        return images.shape[2] // patch, images.shape[3] // patch


class TextTower(Tower):
    """Token ids to one vector a text."""

    frozen_layers = 0

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
        return self._pooled(
            self.backbone(input_ids=tokens, attention_mask=mask.long()).last_hidden_state, mask
        )

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
        attention = create_bidirectional_mask(self.config, hidden, mask.long())
        for layer in layers:
            hidden = layer(hidden, attention)
        return hidden

    def _pooled(self, features: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b e"]:
        if self.pooling == "cls":
            return features[:, 0]
        weight = mask[..., None].to(features.dtype)
        return (features * weight).sum(dim=1) / weight.sum(dim=1)


def build_image_tower(encoder: Encoder, *, size: int, channels: int) -> ImageTower:
    """The image tower a recipe asks for, at random or from its pretrained weights."""
    if encoder.pretrained:
        backbone = _pretrained(encoder.pretrained)
        _expect_channels(encoder.pretrained, backbone.config, channels)
        return ImageTower(backbone, backbone.config, encoder.pooling, frozen_norm=True)
    config = _config(encoder, {"image_size": size, **encoder.config, "num_channels": channels})
    return restore_image_tower(config, encoder.pooling, frozen_norm=False)


def build_text_tower(encoder: Encoder, *, vocabulary: int, pad: int, max_tokens: int) -> TextTower:
    """The text tower a recipe asks for, at random or from its pretrained weights."""
    if encoder.pretrained:
        backbone = _pretrained(encoder.pretrained)
        return TextTower(backbone, backbone.config, encoder.pooling, frozen_norm=True)
    given = {"max_position_embeddings": max(max_tokens, 8), **encoder.config}
    config = _config(encoder, {**given, "vocab_size": vocabulary, "pad_token_id": pad})
    return restore_text_tower(config, encoder.pooling, frozen_norm=False)


def restore_image_tower(config: PretrainedConfig, pooling: Pooling, *, frozen_norm: bool) -> ImageTower:
    """An image tower of that configuration, at random."""
    return ImageTower(_random(config, frozen_norm), config, pooling, frozen_norm=frozen_norm)


def restore_text_tower(config: PretrainedConfig, pooling: Pooling, *, frozen_norm: bool) -> TextTower:
    """A text tower of that configuration, at random."""
    return TextTower(_random(config, frozen_norm), config, pooling, frozen_norm=frozen_norm)


def config_from_dict(values: Mapping[str, Any]) -> PretrainedConfig:
    """The transformers configuration `PretrainedConfig.to_dict` was called on."""
    rest = {k: v for k, v in values.items() if k != "model_type"}
    return AutoConfig.for_model(values["model_type"], **rest)


def pretrained_source(name: str) -> tuple[str, bool]:
    """(path or hub name, whether it is a local folder); CallError for a path that is not there."""
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser()), True
    if name.startswith((".", "/", "~")):
        raise CallError(
            f"no folder {name!r} with pretrained weights; give a folder or a hub name (owner/model)"
        )
    return name, False


def _config(encoder: Encoder, given: Mapping[str, Any]) -> PretrainedConfig:
    """The configuration of a random start: the recipe's fields, and of ours those the type has."""
    try:
        config = AutoConfig.for_model(encoder.type)
    except ValueError as error:
        raise CallError(f"transformers knows no model type {encoder.type!r}") from error
    known = set(config.to_dict())
    unknown = sorted(set(encoder.config) - known)
    if unknown:
        raise CallError(f"{encoder.type} has no configuration field {', '.join(unknown)}")
    return type(config)(**{k: v for k, v in given.items() if k in known})


def _random(config: PretrainedConfig, frozen_norm: bool) -> nn.Module:
    """A randomly started backbone; GroupNorm for BatchNorm, whose statistics a micro-batch cannot carry."""
    backbone = cast(nn.Module, AutoModel.from_config(config, trust_remote_code=False))
    if not frozen_norm:
        _group_norm(backbone)
    return _without_pooler(backbone)


def _pretrained(name: str) -> Any:
    """A backbone with its weights, from safetensors only and never with code of its own."""
    source, local = pretrained_source(name)
    try:
        backbone = AutoModel.from_pretrained(
            source, local_files_only=local, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CallError(f"cannot load pretrained weights {name!r}: {reason}; see docs/offline.md") from error
    return _without_pooler(backbone)


def _without_pooler(backbone: Any) -> Any:
    """Drop a trainable pooler: its output is not used, and unused weights stop distributed training."""
    pooler = getattr(backbone, "pooler", None)
    if isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
        backbone.pooler = None
    return backbone


def _group_norm(module: nn.Module, groups: int = 8) -> None:
    """Replace every BatchNorm2d below `module` by GroupNorm with channels in at most `groups` groups."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            channels = child.num_features
            fitting = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
            setattr(module, name, nn.GroupNorm(fitting, channels))
        else:
            _group_norm(child, groups)


def _expect_channels(name: str, config: PretrainedConfig, channels: int) -> None:
    wanted = getattr(config, "num_channels", channels)
    if wanted != channels:
        raise CallError(
            f"pretrained {name!r} takes {wanted} channels, the recipe gives {channels}; set --channels"
        )
