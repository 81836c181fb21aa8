"""Pictures deeper than 8 bits outside DICOM: their true values, and how they become grey."""

import io

import numpy as np
from jaxtyping import Bool, UInt16
from PIL.PngImagePlugin import PngImageFile

from medistill.data.dicom.lut import PERCENTILES, percentile_curve, range_curve

_LUMA = np.array([0.299, 0.587, 0.114])  # as Pillow weighs them (ITU-R BT.601)
_LEVELS = 1 << 16
_GREY, _GREY_ALPHA = 0, 4  # color types (PNG, table 11.1)
# Pillow keeps the upper byte of deep color. Read as if the bytes stood the other way round it keeps the lower
# one; of grey with alpha it can be made to keep all four bytes of a pixel.
_OTHER_BYTE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}


def png_kind(data: bytes) -> tuple[int, int]:
    """Bits of a sample, and the color type, of a PNG file."""
    return (data[24], data[25]) if data[12:16] == b"IHDR" and len(data) > 25 else (8, _GREY)


def scale_key(file: PngImageFile, depth: int) -> None:
    """Bring the color that the file calls transparent to the 8 bits that Pillow brings its pixels to.

    Pillow does so for 1 bit alone; of a key only as many bits count as a sample has (PNG 11.3.2.1).
    """
    key = file.info.get("transparency")
    top = (1 << depth) - 1
    if file.mode == "L" and isinstance(key, int):
        file.info["transparency"] = (key & top) * 255 // top
    elif file.mode == "RGB" and isinstance(key, tuple) and depth == 8:
        file.info["transparency"] = tuple(int(part) & top for part in key)


def deep_grey(data: bytes, file: PngImageFile) -> UInt16[np.ndarray, "h w"]:
    """A PNG of 16 bits a sample: luma stretched between its percentiles, then laid over black."""
    layers = _layers(data, file)
    colors, alpha = layers[..., : 3 if layers.shape[-1] > 2 else 1], None
    luma = colors[..., 0] if colors.shape[-1] == 1 else colors.astype(np.float64) @ _LUMA
    if layers.shape[-1] in (2, 4):
        # Whoever writes 12 bits into 16 does so with alpha too: opaque is what is most opaque.
        alpha = layers[..., -1] / max(1, int(layers[..., -1].max()))
    seen = np.ones(luma.shape, np.bool_) if alpha is None else alpha > 0
    if (key := file.info.get("transparency")) is not None:
        seen &= (colors != np.array(key, np.uint16)).any(axis=-1)
    grey = stretched(luma, seen)
    grey[~seen] = 0
    return grey if alpha is None else (grey * alpha + 0.5).astype(np.uint16)


def _layers(data: bytes, file: PngImageFile) -> UInt16[np.ndarray, "h w c"]:
    """All bits of the file: grey, grey and alpha, RGB or RGBA."""
    color = png_kind(data)[1]
    if color == _GREY:
        return np.asarray(file).astype(np.uint16)[..., None]
    other = PngImageFile(io.BytesIO(data))
    other.tile = [tile._replace(args=_OTHER_BYTE[str(tile.args)]) for tile in other.tile]
    low = np.asarray(other).astype(np.uint16)
    if color == _GREY_ALPHA:
        return low[..., ::2] << 8 | low[..., 1::2]
    return np.asarray(file).astype(np.uint16) << 8 | low


def stretched(values: np.ndarray, seen: Bool[np.ndarray, "h w"] | None = None) -> UInt16[np.ndarray, "h w"]:
    """Values from one of PERCENTILES to the other over 0..65535, as a DICOM file without a window is shown.

    seen   what the percentiles are of; by default every value that is finite
    """
    finite = np.isfinite(values)
    seen = finite if seen is None else seen & finite
    if not seen.any():
        return np.zeros(values.shape, np.uint16)
    if values.dtype == np.uint16:  # most are: looked up, in a fifth of the time
        levels = np.arange(_LEVELS, dtype=np.float64)
        counts = np.bincount(values[seen], minlength=_LEVELS)
        return _over_16_bits(percentile_curve(levels, counts)(levels))[values]
    low, high = np.percentile(values[seen].astype(np.float64), PERCENTILES, method="inverted_cdf")
    return _over_16_bits(range_curve(low, high)(np.where(finite, values, low).astype(np.float64)))


def _over_16_bits(share: np.ndarray) -> UInt16[np.ndarray, "*shape"]:
    return (np.clip(share, 0, 1) * 65535 + 0.5).astype(np.uint16)
