"""Random pose and exposure that leave a radiograph's report true."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

ROTATION = 7.0
"""Degrees either way."""
SHIFT = 0.06
"""Share of the side, either way."""
ZOOM = 0.10
GAIN = 0.12
GAMMA = 0.20
"""Natural logarithm of the exponent, either way."""


def augment(
    images: UInt8[Tensor, "n h w"], indices: Int[np.ndarray, " n"], *, seed: int, epoch: int
) -> UInt8[Tensor, "n h w"]:
    """Rotate, shift, zoom and re-expose each image; a pure function of (seed, epoch, index).

    There is no flip: it would make every "left" in the reports a lie.
    """
    draws = np.stack([np.random.default_rng((seed, epoch, int(i))).uniform(-1, 1, 6) for i in indices])
    draw = torch.from_numpy(draws).float()
    grid = F.affine_grid(_pose(draw), [len(images), 1, *images.shape[1:]], align_corners=False)
    moved = F.grid_sample(images[:, None].float() / 255, grid, align_corners=False)[:, 0]
    gamma = (GAMMA * draw[:, 4]).exp()[:, None, None]
    gain = (1 + GAIN * draw[:, 5])[:, None, None]
    return (moved.clamp(min=1e-6).pow(gamma) * gain * 255).round().clamp(0, 255).to(torch.uint8)


def _pose(draw: Float[Tensor, "n 6"]) -> Float[Tensor, "n 2 3"]:
    """Rotation, zoom and shift as the matrices `affine_grid` takes."""
    angle = draw[:, 0] * math.radians(ROTATION)
    zoom = 1 + ZOOM * draw[:, 1]
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    shift = 2 * SHIFT * draw[:, 2:4]
    return torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], dim=1
    )
