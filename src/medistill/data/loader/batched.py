"""The augmentation of many images at once, as a card wants it."""

import cmath
import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from medistill.data.loader.augment import (
    BLUR,
    NOISE,
    OFFSETS,
    ROTATION,
    SHIFT,
    ZOOM,
    exposure,
    noise_field,
)

_PIXELS = 1 << 21
"""At once, 60 MB of a card's memory, at a time when no activations are alive."""
GREYS = 256
_WIDTHS = (GREYS, 2, 2, 2, 2, 3)
SETTINGS = sum(_WIDTHS)
"""Numbers that say what becomes of an image."""


class _Settings(NamedTuple):
    """The columns of `settings`."""

    curve: Float32[Tensor, "n 256"]
    """What each grey becomes."""
    turn: Float32[Tensor, "n 2"]
    """w of w * z + c, real and imaginary."""
    across: Float32[Tensor, "n 2"]
    """i * w."""
    shift: Float32[Tensor, "n 2"]
    """c."""
    blur: Float32[Tensor, "n 2"]
    """What a pixel gives to each neighbor on an axis, and what it keeps."""
    noise: Float32[Tensor, "n 3"]
    """Strength, and where the image's part of the field begins: left and top."""


def settings(draws: Float64[np.ndarray, "n 11"]) -> Float32[np.ndarray, "n 267"]:
    """What the draws ask for, rounded as `augment` rounds it; made on the host, where it is exact."""
    return np.stack([_setting(*draw) for draw in draws.tolist()])


def _setting(
    angle: float,
    zoom: float,
    right: float,
    down: float,
    gamma: float,
    gain: float,
    contrast: float,
    soft: float,
    noise: float,
    left: float,
    top: float,
) -> Float32[np.ndarray, " 267"]:
    turn = cmath.rect(1 + ZOOM * zoom, math.radians(ROTATION) * angle)
    share = max(0.0, BLUR * soft) ** 2 / 2
    corner = (int(OFFSETS / 2 * (offset + 1)) for offset in (left, top))
    numbers = (turn.real, turn.imag, -turn.imag, turn.real, 2 * SHIFT * right, 2 * SHIFT * down)
    numbers = (*numbers, share, 1 - 2 * share, NOISE * noise, *corner)
    return np.concatenate([exposure(gamma, gain, contrast), np.array(numbers, np.float32)])


def augment_on(
    device: torch.device, images: UInt8[Tensor, "n s s"], settings: Float32[Tensor, "n 267"]
) -> None:
    """Augment images of the host in place on a device, some at a time.

    From pinned memory nothing here waits for the device: it is queued there, and what is queued afterwards
    sees it. Who reads the images on the host has to synchronize first.
    """
    some = max(1, _PIXELS // images[0].numel())
    for rows in zip(images.split(some), settings.split(some), strict=True):
        there = (part.to(device, non_blocking=True) for part in rows)
        rows[0].copy_(augment_batch(*there), non_blocking=True)


def augment_batch(
    images: UInt8[Tensor, "n s s"], settings: Float32[Tensor, "n 267"]
) -> UInt8[Tensor, "n s s"]:
    """What `augment` makes of the same draws, to a grey in a pixel of some ten thousand.

    Each operation is the one there, in its order; a card may round an interpolated grey the other way.
    """
    own = _Settings(*settings.split(_WIDTHS, dim=1))
    film = own.curve.gather(1, images.flatten(1).long()).view(images.shape)
    film = _blurred(_moved(film, own), own)
    film = film * _grains(own, images.shape[1])
    return film.add_(0.5).clamp_(0, 255).to(torch.uint8)


def _moved(film: Float32[Tensor, "n s s"], own: _Settings) -> Float32[Tensor, "n s s"]:
    axis = _axis(film.shape[1], film.device)[:, None]
    columns = axis * own.turn[:, None] + own.shift[:, None]
    places = columns[:, None] + (axis * own.across[:, None])[:, :, None]
    return F.grid_sample(film[:, None], places, align_corners=False)[:, 0]


def _blurred(film: Float32[Tensor, "n s s"], own: _Settings) -> Float32[Tensor, "n s s"]:
    share, kept = own.blur[:, :1, None], own.blur[:, 1:, None]
    for axis in (1, 2):
        side = film.shape[axis]
        first, last = film.narrow(axis, 0, 1), film.narrow(axis, side - 1, 1)
        before = torch.cat([first, film.narrow(axis, 0, side - 1)], axis)
        after = torch.cat([film.narrow(axis, 1, side - 1), last], axis)
        film = film * kept + (before + after) * share
    return film


def _grains(own: _Settings, side: int) -> Float32[Tensor, "n s s"]:
    """1 plus the noise."""
    left, top = own.noise[:, 1:].long().unbind(1)
    fields = _field(side + OFFSETS, own.noise.device).unfold(0, side, 1).unfold(1, side, 1)
    return fields[top, left] * own.noise[:, :1, None] + 1


@cache
def _axis(side: int, device: torch.device) -> Float32[Tensor, " side"]:
    """Pixel centers; the image is -1..1."""
    return torch.from_numpy(((2 * np.arange(side) + 1) / side - 1).astype(np.float32)).to(device)


@cache
def _field(side: int, device: torch.device) -> Float32[Tensor, "side side"]:
    return torch.from_numpy(noise_field(side)).to(device)
