"""A tower is tried before it is used: its width, what it takes, and that it is still."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from medistill.errors import CallError, first_line
from medistill.model.encoder import ImageTower, TextTower
from medistill.model.tower import Tower

_log = logging.getLogger(__name__)
_INPUT = {"image": "pixel_values", "text": "input_ids"}
_NO_LIMIT = 1_000_000


def try_image_tower(tower: ImageTower, name: str, *, size: int, channels: int) -> None:
    """Set the tower's width by a picture of noise; CallError if it cannot read it, or not twice alike.

    size   side of its images, in pixels
    """
    expect_input(tower, name, "image")
    noise = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, channels, size, size, generator=noise)
    try:
        tower.width = _width(tower, name, pixels)
    except CallError:
        raise
    except Exception as error:  # whatever a network makes of an input it was not made for
        own = getattr(tower.config, "image_size", None)
        advice = f"; set --size {own}" if isinstance(own, int) and own != size else ""
        raise CallError(
            f"{name} cannot read images of {size} x {size} pixels ({first_line(error)}){advice}"
        ) from error


def try_text_tower(tower: TextTower, name: str, *, max_tokens: int, tokens: int) -> None:
    """Set the tower's width by the longest text; CallError if it cannot read it, or not twice alike.

    tokens   how many the tokenizer knows, its highest id and one
    """
    expect_input(tower, name, "text")
    rows = table_rows(tower.backbone)
    if rows < tokens:
        raise CallError(misfit(name, rows, tokens))
    limit = most_tokens(tower.backbone, tower.config)
    if limit < max_tokens:
        raise CallError(
            f"{name} takes at most {limit} tokens, texts are cut to {max_tokens}: set --max-tokens {limit}"
        )
    try:
        tower.width = _width(tower, name, *_longest(max_tokens, rows, tower.config))
    except CallError:
        raise
    except Exception as error:
        raise CallError(f"{name} cannot read texts of {max_tokens} tokens ({first_line(error)})") from error


def settle_image_pooling(tower: ImageTower, name: str, *, size: int, channels: int) -> None:
    """Pool by the mean where `cls` is asked of a tower that has no class token: Swin, SigLIP."""
    if tower.pooling != "cls":
        return
    with _still(tower):
        there = tower.has_class_token(torch.zeros(1, channels, size, size))
    if not there:
        tower.pooling = "mean"
        _log.info(f"{name} has no class token: pooled by the mean")


def settle_text_pooling(tower: TextTower, name: str) -> None:
    """Pool by the mean where `cls` is asked of a tower whose first token sees no other: CLIP's."""
    if tower.pooling != "cls":
        return
    texts = torch.tensor([[1, 1, 1], [1, 2, 2]])
    with _still(tower):
        one, other = tower(texts, torch.ones_like(texts, dtype=torch.bool))
    if torch.equal(one, other):
        tower.pooling = "mean"
        _log.info(
            f"{name} reads from left to right, so that its first token sees no other: pooled by the mean"
        )


def try_split(tower: ImageTower, *, channels: int) -> None:
    """CallError unless a tower whose lowest layers are frozen gives in two parts what it gives as a whole."""
    kind, side = tower.config.model_type, tower.side
    pixels = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0))
    with _still(tower):
        whole = tower.pooled(tower.backbone(pixels).last_hidden_state, pixels)
        try:
            same = torch.allclose(tower.upper(tower.lower(pixels)), whole, rtol=1e-4, atol=1e-5)
        except (AttributeError, TypeError, ValueError, RuntimeError):  # its parts are called otherwise
            same = False
    if not same:
        raise CallError(
            f"image.frozen_layers is {tower.frozen_layers}; this version of transformers does not run a "
            f"tower of type {kind} layer by layer: leave it out, or take --image.locked"
        )


def misfit(name: str, rows: int, tokens: int) -> str:
    """What is wrong with a tokenizer that has more tokens than there are embeddings."""
    return (
        f"{name} has a table of {rows} embeddings, its tokenizer {tokens} tokens: they do not belong "
        "together; take the tokenizer that was saved with these weights"
    )


def most_tokens(backbone: nn.Module, config: PretrainedConfig) -> int:
    """The tokens that a text tower has places for; a huge number where its configuration names none.

    RoBERTa and its like count places from behind the padding id on.
    """
    named = getattr(config, "max_position_embeddings", None)
    limit = named if isinstance(named, int) and named > 0 else _NO_LIMIT
    for name, module in backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            limit = min(limit, module.num_embeddings) - offset
    return limit


def table_rows(backbone: Any) -> int:
    """How many tokens a text tower has embeddings for; a huge number where it has no plain table."""
    try:
        table = backbone.get_input_embeddings()
    except NotImplementedError:
        return _NO_LIMIT
    return int(getattr(table, "num_embeddings", _NO_LIMIT))


def expect_input(tower: Tower, name: str, modality: str) -> None:
    """CallError for a text tower where images are to be read, or the other way round."""
    reads = getattr(tower.backbone, "main_input_name", _INPUT[modality])
    if reads != _INPUT[modality]:
        raise CallError(
            f"{name} is of type {tower.config.model_type}, which reads {reads}, expected one that reads "
            f"{_INPUT[modality]}; name another model"
        )


def _longest(max_tokens: int, rows: int, config: PretrainedConfig) -> tuple[Tensor, Tensor]:
    """A text of that many tokens, none of them padding."""
    last = min(rows, 1000) - 1
    token = last - 1 if last == getattr(config, "pad_token_id", None) else last
    tokens = torch.full((1, max_tokens), max(token, 0), dtype=torch.long)
    return tokens, torch.ones_like(tokens, dtype=torch.bool)


def _width(tower: Tower, name: str, *inputs: Tensor) -> int:
    """Of what the tower gives; CallError if that is not the same twice, or no number."""
    with _still(tower):
        first, second = tower(*inputs), tower(*inputs)
    if not first.isfinite().all():
        raise CallError(f"{name} gives NaN or infinity: its weights are damaged")
    if not torch.equal(first, second):
        raise CallError(
            f"{name} is of type {tower.config.model_type}, which gives another embedding of the same input "
            "each time, also in eval mode; name a type that draws no random numbers there"
        )
    return int(first.shape[1])


@contextmanager
def _still(tower: Tower) -> Generator[None]:
    """In eval mode, without gradients; afterwards modes and random numbers are as before."""
    modes = {module: module.training for module in tower.modules()}
    tower.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
