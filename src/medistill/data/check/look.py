"""How an image looks, in numbers that survive re-encoding and resizing."""

import functools

import numpy as np
from jaxtyping import Float16, Float32, UInt8
from PIL import Image

LOOK = 255
"""Numbers of a look: 16 x 16 coefficients of a cosine transform, less the constant one."""
LOOK_SIDE, LOOK_WAVES = 32, 16
FINE_SIDE, FINE_WAVES, TILES = 64, 24, 4
_DRAWN = (
    (-22, -16, -8, 6, 6, -8, -16, -22),
    (-4, 3, -2, 2, 2, -2, 3, -4),
    (-7, 0, -11, 1, 3, -10, 1, -7),
    (-13, -7, -11, 7, 11, -9, -6, -13),
    (-16, -9, -5, 17, 20, 3, -7, -15),
    (-16, -2, 7, 19, 22, 11, -2, -16),
    (-14, 10, 20, 24, 23, 16, 10, -14),
    (-14, 9, 17, 22, 21, 16, 9, -14),
)
"""The mean of 600 drawn chest radiographs, bone bright, on 8 x 8 places: mean 0, norm 100."""
_LEAST_DETAIL = 0.05
"""A tile with less of the mean tile's variance, in both images, is background and says nothing."""


def look(image: UInt8[np.ndarray, "h w"]) -> Float16[np.ndarray, "255"]:
    """A unit vector that is nearly the same for the same picture in another encoding or size.

    Low waves of the cosine transform, each weighted by its frequency: what all radiographs have in common
    is in the lowest ones, and unweighted they would drown what is an image's own.
    """
    waves = _weighted_waves(image, LOOK_SIDE, LOOK_WAVES).ravel()[1:]
    return (waves / max(float(np.linalg.norm(waves)), 1e-6)).astype(np.float16)


def agreement(one: UInt8[np.ndarray, "h w"], other: UInt8[np.ndarray, "a b"]) -> float:
    """The median correlation, 0..1, of 16 tiles of two images on 64 x 64 places; 1 for a negative too.

    The median, since a burned-in word or an arrow changes one tile and not the others. Waves finer than
    the smaller of the two images can hold are left out.
    """
    waves = min(FINE_WAVES, *(side // 2 for side in (*one.shape, *other.shape)))
    if waves < 2:
        return 0.0
    # Both are whitened, so that what all chests share, the low waves, does not make strangers agree.
    first, second = (_tiles(image, waves) for image in (one, other))
    variances = (first**2).sum(axis=1), (second**2).sum(axis=1)
    detailed = np.any([v > _LEAST_DETAIL * v.mean() for v in variances], axis=0)
    if not detailed.any():
        return 0.0
    correlations = (first * second).sum(axis=1) / np.sqrt(variances[0] * variances[1] + 1e-6)
    return float(min(1.0, abs(np.median(correlations[detailed]))))


def uprightness(image: UInt8[np.ndarray, "h w"]) -> float:
    """Correlation with a drawn chest radiograph, -1..1: below 0 where bone is dark, if it is one at all."""
    small = _shrunk(image, len(_DRAWN))
    small -= small.mean()
    norm = float(np.linalg.norm(small))
    return float((small * np.array(_DRAWN)).sum() / (100 * norm)) if norm > 1e-3 else 0.0


def flatness(image: UInt8[np.ndarray, "h w"]) -> float:
    """The largest share of the pixels that lie within five neighboring grey levels."""
    counts = np.bincount(image.ravel(), minlength=256)
    return float(np.convolve(counts, np.ones(5)).max() / image.size)


def contrast(image: UInt8[np.ndarray, "h w"]) -> int:
    """Grey levels between the darkest and the brightest half percent of the pixels."""
    share = np.cumsum(np.bincount(image.ravel(), minlength=256)) / image.size
    return int(np.searchsorted(share, 0.995) - np.searchsorted(share, 0.005))


def _tiles(image: UInt8[np.ndarray, "h w"], waves: int) -> Float32[np.ndarray, "t p"]:
    """TILES x TILES parts of the image with its waves weighted, each of mean 0."""
    basis = _basis(waves, FINE_SIDE)
    white = basis.T @ _weighted_waves(image, FINE_SIDE, waves) @ basis
    side = FINE_SIDE // TILES
    tiles = white.reshape(TILES, side, TILES, side).swapaxes(1, 2).reshape(TILES**2, side**2)
    return tiles - tiles.mean(axis=1, keepdims=True)


def _weighted_waves(image: UInt8[np.ndarray, "h w"], side: int, waves: int) -> Float32[np.ndarray, "k k"]:
    basis, frequency = _basis(waves, side), np.arange(waves, dtype=np.float32)
    return (basis @ _shrunk(image, side) @ basis.T) * np.hypot(frequency[:, None], frequency)


def _shrunk(image: UInt8[np.ndarray, "h w"], side: int) -> Float32[np.ndarray, "s s"]:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX), np.float32).copy()


@functools.cache
def _basis(waves: int, side: int) -> Float32[np.ndarray, "k s"]:
    """The orthonormal cosine transform's first waves."""
    k, x = np.arange(waves)[:, None], np.arange(side)
    basis = np.sqrt(2 / side) * np.cos(np.pi * k * (2 * x + 1) / (2 * side))
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)
