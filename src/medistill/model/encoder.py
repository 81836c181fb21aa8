"""Image and text towers: a transformers model and how its output is pooled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig

from medistill.errors import CallError
from medistill.recipe import Encoder

Pooling = Literal["mean", "cls"]


class Tower(nn.Module):
    """A transformers backbone, pooled to one row of `width` a sample."""

    def __init__(self, backbone: nn.Module, config: PretrainedConfig, pooling: Pooling, *, frozen_norm: bool):
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.pooling: Pooling = pooling
        self.frozen_norm = frozen_norm
        self.width = int(getattr(config, "hidden_size", 0) or config.hidden_sizes[-1])

    def train(self, mode: bool = True) -> "Tower":
        """As in torch, but pretrained BatchNorm stays as it is: micro-batches are too small to renew it."""
        super().train(mode)
        if self.frozen_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


class ImageTower(Tower):
    """Grey radiographs to one vector each."""

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e"]:
        """Pooled features of normalized images."""
        features: Tensor = self.backbone(images).last_hidden_state
        if features.ndim == 4:
            return features.mean(dim=(2, 3))
        if self.pooling == "cls":
            return features[:, 0]
        return features[:, features.shape[1] - self._patches(images) :].mean(dim=1)

    def _patches(self, images: Tensor) -> int:
        """Tokens that stand for places in the image; class and register tokens come before them."""
        patch = self.config.patch_size
        return (images.shape[2] // patch) * (images.shape[3] // patch)


class TextTower(Tower):
    """Token ids to one vector a text."""

    def forward(self, tokens: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b e"]:
        """Pooled features; `mask` is True at tokens and False at padding."""
        features: Tensor = self.backbone(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
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
