"""The towers a recipe asks for, or a saved model holds: ready to use, or refused in a line."""

from typing import cast

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig

from medistill.errors import CallError
from medistill.model.encoder import ImageTower, TextTower
from medistill.model.tower import Pooling
from medistill.model.towers.config import random_config
from medistill.model.towers.pretrained import pretrained_backbone, tower_of
from medistill.model.towers.sentence import own_pooling, say_pooling
from medistill.model.towers.trial import (
    most_tokens,
    settle_image_pooling,
    settle_text_pooling,
    try_image_tower,
    try_text_tower,
)
from medistill.recipe import Encoder


def build_image_tower(encoder: Encoder, *, size: int, channels: int) -> ImageTower:
    """The image tower a recipe asks for, at random or from its pretrained weights."""
    if encoder.pretrained:
        backbone = pretrained_backbone(encoder.pretrained, "image")
        _expect_channels(encoder.pretrained, backbone.config, channels)
        tower = ImageTower(backbone, backbone.config, encoder.pooling, frozen_norm=True)
        name = f"pretrained {encoder.pretrained!r}"
        try_image_tower(tower, name, size=size, channels=channels)
        settle_image_pooling(tower, name, size=size, channels=channels)
        return tower
    config = random_config(encoder, {"image_size": size, **encoder.config, "num_channels": channels})
    return restore_image_tower(config, encoder.pooling, frozen_norm=False, size=size, channels=channels)


def build_text_tower(
    encoder: Encoder, *, vocabulary: int, pad: int, max_tokens: int, tokens: int = 0
) -> TextTower:
    """The text tower a recipe asks for, at random or from its pretrained weights.

    vocabulary   tokens a random tower has room for
    tokens       those of the tokenizer, its highest id and one
    """
    if encoder.pretrained:
        backbone = pretrained_backbone(encoder.pretrained, "text")
        name, own = f"pretrained {encoder.pretrained!r}", own_pooling(encoder.pretrained)
        tower = TextTower(backbone, backbone.config, own.pooling or encoder.pooling, frozen_norm=True)
        tower.normalized = own.normalized
        say_pooling(name, own)
        try_text_tower(tower, name, max_tokens=max_tokens, tokens=tokens)
        settle_text_pooling(tower, name)
        return tower
    given = {"max_position_embeddings": max(max_tokens, 8), **encoder.config}
    config = random_config(encoder, {**given, "vocab_size": vocabulary, "pad_token_id": pad})
    backbone = _random(config, frozen_norm=False)
    short = max_tokens - most_tokens(backbone, config)
    if short > 0 and "max_position_embeddings" not in encoder.config:
        config.max_position_embeddings += short  # RoBERTa counts places from behind its padding id on
        backbone = _random(config, frozen_norm=False)
    tower = TextTower(backbone, config, encoder.pooling, frozen_norm=False)
    try_text_tower(tower, "the text tower", max_tokens=max_tokens, tokens=tokens)
    return tower


def restore_image_tower(
    config: PretrainedConfig, pooling: Pooling, *, frozen_norm: bool, size: int, channels: int
) -> ImageTower:
    """An image tower of that configuration, at random."""
    tower = ImageTower(_random(config, frozen_norm=frozen_norm), config, pooling, frozen_norm=frozen_norm)
    try_image_tower(tower, "the image tower", size=size, channels=channels)
    return tower


def restore_text_tower(
    config: PretrainedConfig,
    pooling: Pooling,
    *,
    frozen_norm: bool,
    max_tokens: int,
    tokens: int,
    normalized: bool = False,
) -> TextTower:
    """A text tower of that configuration, at random."""
    tower = TextTower(_random(config, frozen_norm=frozen_norm), config, pooling, frozen_norm=frozen_norm)
    tower.normalized = normalized
    try_text_tower(tower, "the text tower", max_tokens=max_tokens, tokens=tokens)
    return tower


def _random(config: PretrainedConfig, *, frozen_norm: bool) -> nn.Module:
    """A randomly started backbone; GroupNorm for BatchNorm, whose statistics a micro-batch cannot carry."""
    backbone = cast(nn.Module, AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32))
    if not frozen_norm:
        _group_norm(backbone)
    return tower_of(backbone)


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
