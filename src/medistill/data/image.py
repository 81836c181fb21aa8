"""Image files in and out: PNG, JPEG or DICOM to grey, and back."""

import io
import math
import sys
import warnings
from typing import Literal

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from medistill.data.dicom.file import is_dicom, known_kind
from medistill.data.dicom.image import decode_dicom, dicom_images
from medistill.data.plain import is_plain_jpeg, is_plain_png
from medistill.errors import MedistillError

MAX_PIXELS = 100_000_000
"""Larger than any detector (about 30 Mpixel), small enough to decode beside a training run."""
Depth = Literal[8, 16]
"""Bits of grey that are stored."""
_ORIENTED = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_DEEP = "I;16"  # how Pillow calls 16-bit grey
_START = 132  # bytes that tell a DICOM file
_RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens the kernel when it shrinks, so this is antialiased


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w"]:
    """Read a PNG, JPEG or DICOM file as 8-bit grey, upright by its EXIF orientation.

    See `grey_array` for what becomes of deeper, colored and transparent images, `decode_dicom` for DICOM.
    """
    if is_dicom(data[:_START]):
        return decode_dicom(data, max_pixels=max_pixels)
    return grey_array(_opened(data, max_pixels))


def decode_stored(data: bytes) -> UInt8[np.ndarray, "h w"]:
    """Read an image of a corpus as 8-bit grey.

    A 16-bit file there was written by `stored_image` over the whole range, so that its upper byte is what
    would have been stored at 8 bits. Stretched like one from elsewhere, it would change its contrast.
    """
    file = _opened(data, sys.maxsize)  # the limit was applied when the corpus was prepared
    if file.mode == _DEEP:
        return (np.asarray(file) >> 8).astype(np.uint8)
    return grey_array(file)


def decode_deep(data: bytes, *, max_pixels: int = MAX_PIXELS) -> UInt16[np.ndarray, "h w"] | None:
    """The values that a PNG of 16-bit grey stores, upright; None for any other PNG or JPEG file."""
    file = _opened(data, max_pixels)
    return np.asarray(_upright(file)).astype(np.uint16) if file.mode == _DEEP else None


def grey_array(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """The pixels of an image as 8-bit grey, upright by its EXIF orientation.

    8-bit grey is left as it is; color becomes luma; alpha is laid over black. Deeper grey is stretched
    from its own darkest..brightest pixel to 0..255, because a radiograph rarely fills the range it is
    stored in. Of a 16-bit color file Pillow keeps the upper byte.
    """
    if any(key in image.info for key in _ORIENTED):
        image = _upright(image)
    if image.mode.startswith(("I", "F")):
        return _upper_byte(_stretched(np.asarray(image)))
    if image.mode != "L" or "transparency" in image.info:
        image = _flattened(image).convert("L")
    return np.array(image)


def checked_grey(image: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """The same array; ValueError if it is not an image of 8-bit grey: arrays come from users."""
    if image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:
        raise ValueError(
            f"found an image array of {image.dtype} and shape {image.shape}, expected a 2-D uint8 array; "
            "DICOM or 16-bit pixels: pass a PIL image, which is stretched to 8 bits"
        )
    return image


def letterbox(image: np.ndarray, size: int) -> UInt8[np.ndarray, "size size"]:
    """Fit an image of (h, w) 8-bit grey pixels into a square of `size` pixels, aspect kept, centered on 0."""
    image = checked_grey(image)
    if image.shape == (size, size):
        return image
    top, left, height, width = letterbox_frame((image.shape[0], image.shape[1]), size)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = resized(image, size)
    return square


def letterbox_frame(shape: tuple[int, int], size: int) -> tuple[int, int, int, int]:
    """Top, left, height and width in pixels of where `letterbox` puts an image of this height and width."""
    height, width = _fitted(shape, size)
    return (size - height) // 2, (size - width) // 2, height, width


def stored_image(
    data: bytes, *, size: int | None = None, max_pixels: int = MAX_PIXELS, depth: Depth = 8
) -> bytes:
    """The file as a corpus keeps it: grey, checked by decoding it, without metadata.

    An 8-bit grey file that holds its pixels and nothing else is kept byte for byte, any other becomes
    a grey PNG. With `size` an image whose longer side exceeds it is shrunk to it and stored as PNG up
    to 128 pixels, as JPEG of quality 95 above. At `depth` 16 a deeper image becomes a PNG of 16 bits.
    """
    if is_dicom(data[:_START]):
        return stored_grey(next(dicom_images(data, max_pixels=max_pixels)).grey, size=size, depth=depth)
    file = _opened(data, max_pixels)
    if depth == 16 and file.mode.startswith("I"):
        return stored_grey(_stretched(np.asarray(_upright(file))), size=size, depth=16)
    grey = grey_array(file)
    if size is not None and max(grey.shape) > size:
        return encode_image(resized(grey, size), lossy=size > 128)
    is_plain = is_plain_png if isinstance(file, PngImageFile) else is_plain_jpeg
    return data if file.mode == "L" and is_plain(data) else encode_image(grey)


def stored_grey(grey: UInt16[np.ndarray, "h w"], *, size: int | None, depth: Depth) -> bytes:
    """16-bit grey as a corpus keeps it, shrunk and encoded as `stored_image` does."""
    shrunk = size is not None and max(grey.shape) > size
    if size is not None and shrunk:
        grey = resized(grey, size)
    if depth == 16 and (grey % 257).any():  # else all of it fits into 8 bits
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "PNG", compress_level=1)
        return file.getvalue()
    return encode_image(_upper_byte(grey), lossy=shrunk and size is not None and size > 128)


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
        raise MedistillError(_not_an_image(data))
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


def _not_an_image(data: bytes) -> str:
    if not data:
        return "not an image: the file is empty"
    kind = known_kind(data)
    return "not a PNG, JPEG or DICOM image" + (f" but {kind}" if kind else "")


def _check_size(file: PngImageFile | JpegImageFile, name: str, max_pixels: int) -> None:
    width, height = file.size
    if width * height > max_pixels:
        size = f"{name} image too large: {width:,} x {height:,} = {width * height:,} pixels"
        raise MedistillError(f"{size}, the limit is {max_pixels:,} (--max-pixels raises it)")
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


def _stretched(image: np.ndarray) -> UInt16[np.ndarray, "h w"]:
    low, high = float(image.min()), float(image.max())
    return ((image - low) * (65535 / ((high - low) or 1)) + 0.5).astype(np.uint16)


def _upper_byte(image: UInt16[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    return (image >> 8).astype(np.uint8)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """The image of (h, w) 8 or 16-bit grey, antialiased, with its longer side `size` pixels."""
    height, width = _fitted((image.shape[0], image.shape[1]), size)
    shape = (width, height)
    if image.dtype == np.uint8:
        return np.array(Image.fromarray(image).resize(shape, _RESAMPLING))
    film = Image.fromarray(image.astype(np.float32)).resize(shape, _RESAMPLING)
    return np.clip(np.asarray(film) + 0.5, 0, 65535).astype(np.uint16)


def _fitted(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Height and width once the longer of them is `size`."""
    scale = size / max(shape)
    return max(1, math.floor(shape[0] * scale + 0.5)), max(1, math.floor(shape[1] * scale + 0.5))
