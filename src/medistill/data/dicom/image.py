"""DICOM images as grey, the way a radiologist's display shows them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16
from PIL import Image

from medistill.data.dicom.classes import is_tile, what_instead
from medistill.data.dicom.decoders import require_decoder
from medistill.data.dicom.described import MONOCHROME, PALETTE, describe
from medistill.data.dicom.file import (
    Dataset,
    add_pixels,
    caught_warnings,
    header_of,
    number_of,
    numbers_of,
    require_pydicom,
    text_of,
    value_of,
)
from medistill.data.dicom.header import NO_PIXELS, is_for_processing
from medistill.data.dicom.lut import (
    FrameElements,
    modality_curve,
    percentile_curve,
    range_curve,
    voi_curve,
)
from medistill.data.dicom.packing import bytes_a_pixel, settle_syntax
from medistill.data.dicom.stored import cleared, stored_frame, stored_range
from medistill.errors import MedistillError

Frames = int | Literal["middle", "all"]
"""Which frames of a file to take: one by its number from 1, the middle one, or every one."""
_HEADER = "broken DICOM file: its header cannot be read"
BROKEN_PIXELS = "broken DICOM image: truncated or damaged pixel data"
_TILE = "not one picture: the DICOM file holds tiles of a whole slide, and a frame is a part of it"
_MOST_STRETCH = 16  # pixels longer than that are a slip of the pen in the header


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """A frame, and what became of its file."""

    grey: UInt16[np.ndarray, "h w"]
    """0..65535; its upper byte is the 8-bit grey."""
    warnings: int
    """Departures from the standard met on the way."""
    remarks: tuple[str, ...] = ()
    """What was taken by the word of the pixels and not of the header, to be counted."""


def decode_dicom(
    data: bytes,
    *,
    max_pixels: int,
    frames: Frames = "middle",
    window: str | None = None,
    for_processing: bool = False,
) -> UInt8[np.ndarray, "h w"]:
    """One frame of a DICOM file as 8-bit grey; see `dicom_images`."""
    first = next(
        dicom_images(data, max_pixels=max_pixels, frames=frames, window=window, for_processing=for_processing)
    )
    return (first.grey >> 8).astype(np.uint8)


def dicom_images(
    data: bytes,
    *,
    max_pixels: int,
    frames: Frames = "middle",
    window: str | None = None,
    for_processing: bool = False,
) -> Iterator[DicomImage]:
    """Frames of a DICOM file as 16-bit grey, bone bright, pixels square.

    Bits above those stored are cleared, padding is black; then the modality LUT, then the VOI LUT or window,
    then the inversion that MONOCHROME1 or a presentation LUT shape INVERSE asks for, once. Without a window
    8-bit values keep their brightness and deeper ones are stretched between `PERCENTILES`.
    Color becomes luma.

    window          explanation of the window or VOI LUT to take; the first by default
    for_processing  take images that are meant for the vendor's software too
    raises          MedistillError of one line that quotes nothing from the file
    """
    opened = opened_frames(data, max_pixels=max_pixels, frames=frames, for_processing=for_processing)
    for number in opened.numbers:
        with caught_warnings(BROKEN_PIXELS) as decoding:
            grey = squared(_grey(opened.dataset, number, window), opened.dataset, number, max_pixels)
        remarks = dict.fromkeys((*opened.remarks, *decoding.remarks))
        yield DicomImage(grey=grey, warnings=opened.warnings + decoding.count, remarks=tuple(remarks))


class OpenedFrames(NamedTuple):
    """A file whose frames may be decoded."""

    dataset: Dataset
    numbers: list[int]
    """Of the frames to take, from 0."""
    warnings: int
    remarks: tuple[str, ...]


def opened_frames(
    data: bytes, *, max_pixels: int, frames: Frames = "middle", for_processing: bool = False
) -> OpenedFrames:
    """The file checked and loaded; MedistillError as of `dicom_images`."""
    with caught_warnings(_HEADER) as reading:
        header = header_of(io.BytesIO(data))
        numbers = _check(header.dataset, header.pixels_at is not None, frames, max_pixels, for_processing)
    with caught_warnings(BROKEN_PIXELS) as loading:
        size = number_of(header.dataset, "Rows") * number_of(header.dataset, "Columns")
        depth = max(1, number_of(header.dataset, "BitsAllocated") // 8)
        samples = number_of(header.dataset, "SamplesPerPixel") or 3
        samples *= max(1, number_of(header.dataset, "NumberOfFrames"))
        dataset = add_pixels(header, data, pixel_bytes=size * samples * depth)
        _check_pixels(dataset)
        stream = settle_syntax(dataset, numbers[0])
        require_decoder(dataset)
        describe(dataset, stream, numbers[0], 0 if stream else bytes_a_pixel(dataset, numbers[0]))
    return OpenedFrames(dataset, numbers, reading.count + loading.count, loading.remarks)


def _check_pixels(dataset: Dataset) -> None:
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise MedistillError("not an image: the DICOM file holds floating-point values, as a map does")
    if "PixelData" not in dataset:
        raise MedistillError("truncated DICOM image: the file ends within its pixel data")
    if not dataset.PixelData:
        raise MedistillError("not an image: the pixel data of the DICOM file are empty")


def _check(
    header: Dataset, pixels_follow: bool, frames: Frames, max_pixels: int, for_processing: bool
) -> list[int]:
    """Numbers of the frames to take, from 0, of a file that may be decoded."""
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        value_of(header, keyword)  # to be warned of a file whose pixels are fine and whose names are not
    if kind := what_instead(header):
        raise MedistillError(f"not an image: the DICOM file holds {kind}")
    rows, columns = number_of(header, "Rows"), number_of(header, "Columns")
    if not pixels_follow:
        raise MedistillError(NO_PIXELS)
    if rows < 1 or columns < 1:
        raise MedistillError("broken DICOM image: its header states no size")
    if is_for_processing(header) and not for_processing:
        raise MedistillError("DICOM image is FOR PROCESSING, not for display (--for-processing takes it)")
    count = max(1, number_of(header, "NumberOfFrames"))
    if frames == "middle" and is_tile(header):
        raise MedistillError(f"{_TILE}: {count:,} tile(s) in this file (--frames takes them as images)")
    numbers = _frame_numbers(frames, count)
    pixels = rows * columns * len(numbers)
    if pixels > max_pixels:
        count = f" x {len(numbers):,} frames" if len(numbers) > 1 else ""
        what = f"DICOM image too large: {columns:,} x {rows:,}{count} = {pixels:,} pixels"
        raise MedistillError(f"{what}, the limit is {max_pixels:,} (--max-pixels raises it)")
    return numbers


def _frame_numbers(frames: Frames, count: int) -> list[int]:
    if frames == "all":
        return list(range(count))
    number = (count + 1) // 2 if frames == "middle" else frames
    if not 1 <= number <= count:
        raise MedistillError(f"the DICOM file has {count:,} frame(s), not one of number {number}")
    return [number - 1]


def _grey(dataset: Dataset, frame: int, window: str | None) -> UInt16[np.ndarray, "h w"]:
    space = text_of(dataset, "PhotometricInterpretation")
    if space in MONOCHROME:
        return _monochrome(dataset, frame, window)
    if space == PALETTE:
        return luma(_palette_color(dataset, frame))
    return luma(stored_frame(dataset, frame, as_rgb=True), bits=number_of(dataset, "BitsStored"))


def _monochrome(dataset: Dataset, frame: int, window: str | None) -> UInt16[np.ndarray, "h w"]:
    """Worked out once for each value that occurs, and then looked up."""
    stored = cleared(dataset, raw := stored_frame(dataset, frame))
    padded = padding(dataset, raw, stored)
    values, places = _occurring(stored)
    counts = np.bincount(places[~padded].ravel(), minlength=len(values))
    if not counts.any():
        raise MedistillError("blank DICOM image: every pixel is padding")
    levels = _brightness(dataset, frame, values, counts, window)
    if inverted(dataset):
        levels = 65535 - levels
    grey = levels[places]
    grey[padded] = 0
    return grey


def inverted(dataset: Dataset) -> bool:
    """Whether large values are dark. MONOCHROME1 comes with shape INVERSE: both say the same, once."""
    is_inverse = text_of(dataset, "PresentationLUTShape").upper() == "INVERSE"
    return is_inverse or text_of(dataset, "PhotometricInterpretation") == "MONOCHROME1"


def _brightness(
    dataset: Dataset,
    frame: int,
    stored: Int64[np.ndarray, " n"],
    counts: Int64[np.ndarray, " n"],
    window: str | None,
) -> UInt16[np.ndarray, " n"]:
    """0..65535 for each stored value, of which there are so many."""
    elements = FrameElements(dataset, frame)
    bounds = np.array(stored_range(dataset), np.float64)
    meaning, by_table = modality_curve(elements, lowest=int(bounds[0]))
    values, reach = meaning(stored.astype(np.float64)), meaning(bounds)
    lowest = 0.0 if by_table else float(reach.min())
    shown = voi_curve(elements, lowest=lowest, window=window)
    if shown is None and number_of(dataset, "BitsStored") <= 8 and not by_table:
        shown = range_curve(float(reach.min()), float(reach.max()))  # made for a display: left as it is
    if shown is None:
        shown = percentile_curve(values, counts)
    return (np.clip(shown(values), 0, 1) * 65535 + 0.5).astype(np.uint16)


def padding(dataset: Dataset, raw: np.ndarray, stored: Int64[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Where nothing was imaged: the padding value, or the range up to its limit, bounds included."""
    ends = [value_of(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    numbers = [int(end) for end in ends if isinstance(end, int | float)]
    if ends[0] is None or not numbers:
        return np.zeros(stored.shape, np.bool_)
    # The VR of the value, signed or not, is often not that of the pixels; its bits are.
    bits = number_of(dataset, "BitsAllocated")
    if stored_range(dataset)[0] < 0:
        numbers = [(number + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1) for number in numbers]
    else:
        numbers = [number % (1 << bits) for number in numbers]
    within = (stored >= min(numbers)) & (stored <= max(numbers))
    as_written = raw.astype(np.int64) % (1 << bits) == numbers[0] % (1 << bits)  # in bits above those stored
    return within | as_written


def _occurring(stored: Int64[np.ndarray, "h w"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, "h w"]]:
    """Values from the smallest to the largest, and for each pixel which of them it has."""
    low, high = int(stored.min()), int(stored.max())
    if high - low < 1 << 17:
        return np.arange(low, high + 1), stored - low
    values, places = np.unique(stored, return_inverse=True)
    return values, places.reshape(stored.shape)


def _palette_color(dataset: Dataset, frame: int) -> np.ndarray:
    stored = cleared(dataset, stored_frame(dataset, frame))
    colors = require_pydicom().pixels.apply_color_lut(stored, dataset)
    return colors.astype(np.uint8) if colors.max() < 256 else colors  # 8-bit colors in 16-bit entries


def luma(colors: np.ndarray, bits: int = 0) -> UInt16[np.ndarray, "h w"]:
    """Brightness of (h, w, 3) RGB of 8 bits, weighed as Pillow does, or of `bits` up to 16."""
    if colors.dtype == np.uint8:
        return np.asarray(Image.fromarray(colors).convert("L")).astype(np.uint16) * 257
    share = colors.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / ((1 << (bits or 16)) - 1)
    return (np.clip(share, 0, 1) * 65535 + 0.5).astype(np.uint16)


def squared(
    grey: UInt16[np.ndarray, "h w"], dataset: Dataset, frame: int, max_pixels: int
) -> UInt16[np.ndarray, "a b"]:
    """With pixels as high as they are wide: the longer side of a pixel is sampled more often."""
    aspect = _aspect(FrameElements(dataset, frame))
    if abs(aspect - 1) <= 0.01 or not 1 / _MOST_STRETCH <= aspect <= _MOST_STRETCH:
        return grey
    height, width = grey.shape
    width, height = (width, round(height * aspect)) if aspect > 1 else (round(width / aspect), height)
    if width * height > max_pixels:
        what = f"DICOM image too large with square pixels: {width:,} x {height:,}"
        raise MedistillError(f"{what}, the limit is {max_pixels:,} (--max-pixels raises it)")
    film = Image.fromarray(grey.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(film) + 0.5, 0, 65535).astype(np.uint16)


def _aspect(elements: FrameElements) -> float:
    """Height of a pixel over its width, by the first element that gives both; 1 if none does."""
    for macro, keyword in (
        ("", "PixelAspectRatio"),
        ("PixelMeasuresSequence", "PixelSpacing"),
        ("", "ImagerPixelSpacing"),
    ):
        sides = numbers_of(elements.scope(macro, keyword), keyword)
        if len(sides) == 2 and min(sides) > 0:
            return sides[0] / sides[1]
    return 1.0
