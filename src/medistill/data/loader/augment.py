"""Random pose, exposure, blur and noise that leave a radiograph's report true."""

import cmath
import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Complex64, Float32, Float64, Int, UInt8

ROTATION = 7.0
"""Degrees either way: how far a patient leans; more is repeated at the console."""
SHIFT = 0.06
"""Share of the side, either way: centering on the detector."""
ZOOM = 0.10
"""Share, either way: body size and the distance to the tube."""
GAMMA = 0.20
"""Natural logarithm of the exponent, either way: the display curve differs among vendors."""
GAIN = 0.12
"""Share of the brightness, either way: exposure."""
CONTRAST = 0.15
"""Change of the slope at mid-grey, either way: tube voltage and processing. Black and white stay (< .5)."""
BLUR = 0.6
"""Pixels of the image given, the largest standard deviation: detector and motion. Half of all stay sharp."""
NOISE = 0.03
"""The largest standard deviation, as a share of a pixel's own value: dense parts let few photons through.

In proportion, because noise added to black would tell the image from its border.
"""
_SCALED = [0, 1, 2, 3, 4, 5, 6, 8]
"""Draws of pose, exposure and noise; blur is in pixels already, and a place in the noise is a place."""
OFFSETS = 256
"""Places on each axis of the noise field that an image's noise may start at."""


def augment(
    images: UInt8[np.ndarray, "n s s"], places: Int[np.ndarray, "n 2"], *, seed: int, strength: float = 1.0
) -> UInt8[np.ndarray, "n s s"]:
    """Move, re-expose, blur and grain each image; a pure function of the image, `seed` and its (epoch, row).

    There is no flip: it would make every "left" in the reports a lie.

    strength   as in `draws`
    """
    side = images.shape[1]
    augmented = np.empty_like(images)
    grid, spare = np.empty((side, side), np.complex64), np.empty((side, side), np.float32)
    # One by one: vectorized operations may round an element by its place in a batch, and this is faster too.
    for out, image, draw in zip(
        augmented, images, draws(places, seed=seed, strength=strength).tolist(), strict=True
    ):
        angle, zoom, right, down, gamma, gain, contrast, soft, noise, left, top = draw
        curve = exposure(gamma, gain, contrast)
        np.take(curve, image, out=spare, mode="clip")  # every index is valid; the default mode would copy
        film = moved(spare, angle, zoom, right, down, grid)
        blur(film, max(0.0, BLUR * soft), spare)
        grain(film, noise, left, top, spare)
        out[:] = np.clip(np.add(film, 0.5, out=spare), 0, 255, out=spare)
    return augmented


def draws(places: Int[np.ndarray, "n 2"], *, seed: int, strength: float = 1.0) -> Float64[np.ndarray, "n 11"]:
    """Eleven numbers for each image, all the chance there is: uniform in -1..1.

    strength   those of pose, exposure and noise are so many times as wide, 0..3; at 3 the contrast's curve
               still rises
    """
    own = (np.random.default_rng((seed, epoch, row)) for epoch, row in places.tolist())
    drawn = np.stack([random.uniform(-1, 1, 11) for random in own])
    drawn[:, _SCALED] *= strength
    return drawn


def exposure(gamma: float, gain: float, contrast: float) -> Float32[np.ndarray, " 256"]:
    """What each 8-bit grey becomes, in 0..255 * (1 + GAIN * gain). Draws in -3..3 let it rise; 0 stays 0."""
    grey = np.linspace(0, 1, 256)
    grey += CONTRAST * contrast * 2 * grey * (1 - grey) * (2 * grey - 1)
    return (255 * (1 + GAIN * gain) * grey ** math.exp(GAMMA * gamma)).astype(np.float32)


def moved(
    image: Float32[np.ndarray, "s s"],
    angle: float,
    zoom: float,
    right: float,
    down: float,
    grid: Complex64[np.ndarray, "s s"],
) -> Float32[np.ndarray, "s s"]:
    """Rotated, zoomed and shifted as drawn; black comes in from outside.

    A rotation with zoom and shift is w * z + c on x + iy: a sum of rows and columns, a tenth of what
    `affine_grid` costs. `grid` is overwritten.
    """
    side = len(image)
    axis = ((2 * np.arange(side) + 1) / side - 1).astype(np.complex64)  # pixel centers, the image is -1..1
    axis *= np.complex64(cmath.rect(1 + ZOOM * zoom, math.radians(ROTATION) * angle))
    shift = np.complex64(2 * SHIFT * complex(right, down))
    np.add(axis + shift, (np.complex64(1j) * axis)[:, None], out=grid)
    places = torch.from_numpy(grid.view(np.float32).reshape(1, side, side, 2))
    return F.grid_sample(torch.from_numpy(image)[None, None], places, align_corners=False)[0, 0].numpy()


def blur(image: Float32[np.ndarray, "s s"], sigma: float, spare: Float32[np.ndarray, "s s"]) -> None:
    """Blur in place by a kernel of three pixels a side, of standard deviation `sigma` (pixels, below .7)."""
    share = sigma**2 / 2
    for rows, sums in ((image, spare), (image.T, spare.T)) if share else ():
        np.add(rows[2:], rows[:-2], out=sums[1:-1])
        sums[0], sums[-1] = rows[0] + rows[1], rows[-1] + rows[-2]
        sums *= share
        rows *= 1 - 2 * share
        rows += sums


def grain(
    image: Float32[np.ndarray, "s s"],
    strength: float,
    left: float,
    top: float,
    spare: Float32[np.ndarray, "s s"],
) -> None:
    """Multiply in place by 1 plus noise; `left` and `top` in -1..1."""
    side = len(image)
    x, y = (int(OFFSETS / 2 * (offset + 1)) for offset in (left, top))
    np.multiply(noise_field(side + OFFSETS)[y : y + side, x : x + side], NOISE * strength, out=spare)
    spare += 1
    image *= spare


@cache
def noise_field(side: int) -> Float32[np.ndarray, "side side"]:
    """Standard normal noise, the same everywhere; one for each image would cost as much as all else."""
    return np.random.default_rng(0).standard_normal((side, side), np.float32)
