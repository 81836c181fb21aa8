"""Image files in and out: PNG, JPEG or DICOM to grey, and back."""

import io
import itertools
import math
import sys
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from medistill.data.deep import deep_grey, png_kind, scale_key, stretched
from medistill.data.dicom.file import MEMORY, is_dicom, known_kind
from medistill.data.dicom.frame import jpeg_header
from medistill.data.dicom.image import DicomImage, decode_dicom, dicom_images
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
    grey = _decoded(data, max_pixels)[1]
    return grey if grey.dtype == np.uint8 else _upper_byte(grey)


def decode_stored(data: bytes) -> UInt8[np.ndarray, "h w"]:
    """Read an image of a corpus as 8-bit grey.

    A 16-bit file there was written by `stored_image` over the whole range, so that its upper byte is what
    would have been stored at 8 bits. Stretched like one from elsewhere, it would change its contrast.
    """
    file = _opened(data, sys.maxsize)  # the limit was applied when the corpus was prepared
    with _failures(file.format or "", "its pixels cannot be read as grey"):
        return _upper_byte(np.asarray(file)) if file.mode == _DEEP else grey_array(file)


def decode_deep(data: bytes, *, max_pixels: int = MAX_PIXELS) -> UInt16[np.ndarray, "h w"] | None:
    """The values that a PNG of 16-bit grey stores, upright; None for any other PNG or JPEG file."""
    file = _opened(data, max_pixels)
    return np.asarray(_upright(file)).astype(np.uint16) if file.mode == _DEEP else None


def grey_array(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """The pixels of an image as 8-bit grey, upright by its EXIF orientation.

    8-bit grey is left as it is; color becomes luma; alpha is laid over black. Deeper grey is stretched
    between its own percentiles, as DICOM without a window is, because a radiograph rarely fills the range
    it is stored in. Of opened files of 16-bit color Pillow keeps the upper byte; `decode_image` keeps both.
    """
    with warnings.catch_warnings(action="ignore"):  # Pillow's, of what is made of all the same
        if any(key in image.info for key in _ORIENTED):
            image = _upright(image)
        if image.mode.startswith(("I", "F")):
            return _upper_byte(stretched(np.asarray(image)))
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
    if height == width:
        return resized(image, size)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = resized(image, size)
    return square


def letterbox_frame(shape: tuple[int, int], size: int) -> tuple[int, int, int, int]:
    """Top, left, height and width in pixels of where `letterbox` puts an image of this height and width."""
    height, width = _fitted(shape, size)
    return (size - height) // 2, (size - width) // 2, height, width


class Kept(NamedTuple):
    """A file as a corpus keeps it."""

    images: tuple[bytes, ...]
    remarks: tuple[str, ...] = ()
    """What was taken by the word of the pixels and not of their header."""


def stored_image(
    data: bytes, *, size: int | None = None, max_pixels: int = MAX_PIXELS, depth: Depth = 8
) -> bytes:
    """`kept_image` without its remarks."""
    return kept_image(data, size=size, max_pixels=max_pixels, depth=depth).images[0]


def kept_image(
    data: bytes, *, size: int | None = None, max_pixels: int = MAX_PIXELS, depth: Depth = 8
) -> Kept:
    """The file as a corpus keeps it: grey, checked by decoding it, without metadata.

    An 8-bit grey file that holds its pixels and nothing else is kept byte for byte, any other becomes
    a grey PNG. With `size` an image whose longer side exceeds it is shrunk to it and stored as PNG up
    to 128 pixels, as JPEG of quality 95 above. At `depth` 16 a deeper image becomes a PNG of 16 bits.
    """
    if is_dicom(data[:_START]):
        return kept_frames(dicom_images(data, max_pixels=max_pixels), size=size, depth=depth, count=1)
    file, grey = _decoded(data, max_pixels)
    if grey.dtype == np.uint16:
        return Kept((stored_grey(grey, size=size, depth=depth),))
    if size is not None and max(grey.shape) > size:
        return Kept((encode_image(resized(grey, size), lossy=size > 128),))
    is_plain = is_plain_png if isinstance(file, PngImageFile) else is_plain_jpeg
    return Kept((data if file.mode == "L" and is_plain(data) else encode_image(grey),))


def kept_frames(
    frames: Iterable[DicomImage], *, size: int | None, depth: Depth, count: int | None = None
) -> Kept:
    """The first `count` frames of a DICOM file, or all of them."""
    taken = [
        (stored_grey(frame.grey, size=size, depth=depth), frame.remarks)
        for frame in itertools.islice(frames, count)
    ]
    remarks = dict.fromkeys(remark for _, said in taken for remark in said)
    return Kept(tuple(image for image, _ in taken), tuple(remarks))


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


def _decoded(data: bytes, max_pixels: int) -> tuple[PngImageFile | JpegImageFile, np.ndarray]:
    """The file, and its pixels upright as grey of 8 bits; of 16 over the whole range if it is deeper."""
    file = _opened(data, max_pixels)
    with _failures(file.format or "", "its pixels cannot be read as grey"):
        if not isinstance(file, PngImageFile) or png_kind(data)[0] < 16:
            return file, grey_array(file)
        grey = Image.fromarray(deep_grey(data, file))
        grey.info = {key: file.info[key] for key in _ORIENTED if key in file.info}
        return file, np.asarray(_upright(grey)).astype(np.uint16)


def _opened(data: bytes, max_pixels: int) -> PngImageFile | JpegImageFile:
    """The file with its pixels loaded; every failure is one line that quotes nothing from the file."""
    # The plugin classes, not Image.open: its bomb check has one process-wide limit and only warns at first.
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        name, plugin = "PNG", PngImageFile
    elif data.startswith(b"\xff\xd8\xff"):
        name, plugin = "JPEG", JpegImageFile
    else:
        raise MedistillError(_not_an_image(data))
    uncommon = _uncommon_jpeg(data) if name == "JPEG" else None
    with _failures(name, "its header cannot be read", uncommon):
        file = plugin(io.BytesIO(data))
    _check_size(file, name, max_pixels)
    if isinstance(file, PngImageFile):
        if file.mode == "P" and file.palette is None:
            raise MedistillError("broken PNG image: indexed color without a palette")
        scale_key(file, png_kind(data)[0])
    with _failures(name, "truncated or damaged pixel data", uncommon):
        file.load()
    return file


@contextmanager
def _failures(name: str, reason: str, uncommon: str | None = None) -> Generator[None]:
    """Every failure as one line, and Pillow's warnings kept from the terminal.

    uncommon   the kind of file that explains any failure to read it
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except MemoryError:
        raise MedistillError(MEMORY) from None
    except MedistillError:
        raise
    except Exception as error:  # on broken input Pillow raises a dozen types, SyntaxError among them
        line = f"{uncommon}, which cannot be decoded here" if uncommon else f"broken {name} image: {reason}"
        raise MedistillError(line) from error


def _uncommon_jpeg(data: bytes) -> str | None:
    """What kind of JPEG a file is if Pillow may be unable to read it."""
    kind, bits = jpeg_header(data) or ("JPEG", 8)
    return None if (kind, bits) == ("JPEG", 8) else f"{kind} image of {bits} bits"


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
