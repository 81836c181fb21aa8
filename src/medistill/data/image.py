"""Image files in and out: PNG or JPEG to 8-bit grey, and back."""

import io
import math
import warnings

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from medistill.data.plain import is_plain_jpeg, is_plain_png
from medistill.errors import MedistillError

MAX_PIXELS = 100_000_000
"""Larger than any detector (about 30 Mpixel), small enough to decode beside a training run."""

_ORIENTED = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens the kernel when it shrinks, so this is antialiased


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w"]:
    """Read a PNG or JPEG file as 8-bit grey, upright by its EXIF orientation.

    See `grey_array` for what becomes of deeper, colored and transparent images.
    """
    return grey_array(_opened(data, max_pixels))


def grey_array(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """The pixels of an image as 8-bit grey, upright by its EXIF orientation.

    8-bit grey is left as it is; color becomes luma; alpha is laid over black. Deeper grey is stretched
    from its own darkest..brightest pixel to 0..255, because a radiograph rarely fills the range it is
    stored in. Of a 16-bit color file Pillow keeps the upper byte.
    """
    if any(key in image.info for key in _ORIENTED):
        image = _upright(image)
    if image.mode.startswith(("I", "F")):
        return _stretched(np.asarray(image))
    if image.mode != "L" or "transparency" in image.info:
        image = _flattened(image).convert("L")
    return np.array(image)


def letterbox(image: np.ndarray, size: int) -> UInt8[np.ndarray, "size size"]:
    """Fit an image of (h, w) 8-bit grey pixels into a square of `size` pixels, aspect kept, centered on 0."""
    if image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:  # arrays come from users: no assert
        raise ValueError(
            f"found an image array of {image.dtype} and shape {image.shape}, expected a 2-D uint8 array; "
            "DICOM or 16-bit pixels: pass a PIL image, which is stretched to 8 bits"
        )
    if image.shape == (size, size):
        return image
    fitted = _resized(image, size)
    square = np.zeros((size, size), np.uint8)
    top, left = (size - fitted.shape[0]) // 2, (size - fitted.shape[1]) // 2
    square[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return square


def stored_image(data: bytes, *, size: int | None = None, max_pixels: int = MAX_PIXELS) -> bytes:
    """The file as a corpus keeps it: 8-bit grey, checked by decoding it, without metadata.

    An 8-bit grey file that holds its pixels and nothing else is kept byte for byte, any other becomes
    a grey PNG. With `size` an image whose longer side exceeds it is shrunk to it and stored as PNG up
    to 128 pixels, as JPEG of quality 95 above.
    """
    file = _opened(data, max_pixels)
    grey = grey_array(file)
    if size is not None and max(grey.shape) > size:
        return encode_image(_resized(grey, size), lossy=size > 128)
    is_plain = is_plain_png if isinstance(file, PngImageFile) else is_plain_jpeg
    return data if file.mode == "L" and is_plain(data) else encode_image(grey)


def encode_image(image: UInt8[np.ndarray, "h w"], *, lossy: bool = False) -> bytes:
    """A grey PNG file, or a JPEG file of quality 95 if `lossy`."""
    file = io.BytesIO()
    if lossy:
        Image.fromarray(image).save(file, "JPEG", quality=95)
    else:
        Image.fromarray(image).save(file, "PNG", compress_level=1)  # 40 % of the time for 15 % more bytes
    return file.getvalue()


def _opened(data: bytes, max_pixels: int) -> PngImageFile | JpegImageFile:
    """The file fully decoded; every failure is one line that quotes nothing from the file."""
    # The plugin classes, not Image.open: its bomb check has one process-wide limit and only warns at first.
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        name, plugin = "PNG", PngImageFile
    elif data.startswith(b"\xff\xd8\xff"):
        name, plugin = "JPEG", JpegImageFile
    else:
        raise MedistillError("not an image: the file is empty" if not data else "not a PNG or JPEG image")
    try:
        file = plugin(io.BytesIO(data))
    except Exception as error:  # on broken input Pillow raises a dozen types, SyntaxError among them
        raise MedistillError(f"broken {name} image: its header cannot be read") from error
    _check_size(file, name, max_pixels)
    try:
        file.load()
    except Exception as error:
        raise MedistillError(f"broken {name} image: truncated or damaged pixel data") from error
    return file


def _check_size(file: PngImageFile | JpegImageFile, name: str, max_pixels: int) -> None:
    width, height = file.size
    if width * height > max_pixels:
        found = f"{name} image too large: {width:,} x {height:,} = {width * height:,} pixels"
        raise MedistillError(f"{found}, the limit is {max_pixels:,} (--max-pixels raises it)")
    if getattr(file, "is_animated", False):
        raise MedistillError(f"animated {name} image: one file must hold one image")


def _upright(image: Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ImageOps.exif_transpose(image)
    except Exception:  # as many types as for a broken image; EXIF that cannot be read states no orientation
        return image


def _flattened(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA"))


def _stretched(image: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    low, high = float(image.min()), float(image.max())
    return ((image - low) * (255 / ((high - low) or 1)) + 0.5).astype(np.uint8)


def _resized(image: UInt8[np.ndarray, "h w"], size: int) -> UInt8[np.ndarray, "a b"]:
    """The image with its longer side `size`."""
    height, width = image.shape
    scale = size / max(height, width)
    shape = (max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5)))
    return np.array(Image.fromarray(image).resize(shape, _RESAMPLING))
