"""What a header leaves out of its pixels, or says otherwise than they do, made good or named."""

import warnings
from typing import Any

import numpy as np

from medistill.data.dicom.file import Dataset, Remark, number_of, numbers_of, text_of
from medistill.data.dicom.frame import Stream
from medistill.data.dicom.lut import FrameElements, windows_at
from medistill.errors import MedistillError

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
DEPTH_OF_STREAM = "compressed frame read by its own depth, which is not that of the header"
_CONTAINERS = (1, 8, 16, 32)
_PACKED = 12
_SPACES = {name.replace("_", "").replace(" ", ""): name for name in (*MONOCHROME, PALETTE, *COLORS)}


def describe(dataset: Dataset, stream: Stream | None, frame: int, pixel_bytes: int) -> None:
    """Set the elements that say what the pixels are, so that whoever reads them need not ask again.

    What is absent takes the standard's default (PS3.3 C.7.6.3), or what the compressed frame says of itself.

    stream       the markers of the frame to be decoded; None of pixels native or run-length encoded
    pixel_bytes  what a pixel of the latter takes, by their length; 0 where that says nothing
    raises       MedistillError that names the element at fault, or the two numbers that disagree
    """
    space = _color_space(dataset)
    samples = _samples(dataset, stream, space, pixel_bytes)
    space = space or _default_space(dataset, stream, samples)
    fits = (*MONOCHROME, PALETTE) if samples == 1 else COLORS if samples == 3 else ()
    if space not in fits:
        raise MedistillError(f"broken DICOM image: its header says {samples} sample(s) a pixel, and {space}")
    _set(dataset, "SamplesPerPixel", samples)
    _set(dataset, "PhotometricInterpretation", space)
    if space == PALETTE and "RedPaletteColorLookupTableDescriptor" not in dataset:
        raise MedistillError("broken DICOM image: its palette is missing")
    if samples == 3:
        _set(dataset, "PlanarConfiguration", _flag(dataset, "PlanarConfiguration", default=0))
    signed = int(stream is not None and stream.is_signed)
    _set(dataset, "PixelRepresentation", _flag(dataset, "PixelRepresentation", default=signed))
    if stream:
        allocated, stored = _of_stream(dataset, stream, frame)
    else:
        allocated, stored = _of_native(dataset, samples, pixel_bytes)
    if allocated not in _CONTAINERS:
        raise MedistillError(f"DICOM image of {allocated} bits allocated a sample, expected 1, 8, 16 or 32")
    if not 1 <= stored <= allocated:
        raise MedistillError("broken DICOM image: its header states no number of bits")
    _set(dataset, "BitsAllocated", allocated)
    _set(dataset, "BitsStored", stored)
    high = _stated(dataset, "HighBit")
    _set(dataset, "HighBit", high if high is not None and stored - 1 <= high < allocated else stored - 1)


def _color_space(dataset: Dataset) -> str | None:
    """The photometric interpretation in the standard's spelling; None where there is none."""
    stated = text_of(dataset, "PhotometricInterpretation").split("\\")[0].upper()
    if not stated:
        return None
    space = _SPACES.get(stated.replace("_", "").replace(" ", ""))
    if space is None:
        raise MedistillError("DICOM image of a kind of color that is not known")
    return space


def _samples(dataset: Dataset, stream: Stream | None, space: str | None, pixel_bytes: int) -> int:
    stated = _stated(dataset, "SamplesPerPixel")
    if stated is not None:
        return stated
    if stream:
        return stream.samples
    if space:
        return 3 if space in COLORS else 1
    said = _stated(dataset, "BitsAllocated")
    return 3 if pixel_bytes in (3, 6) and said in (None, pixel_bytes // 3 * 8) else 1


def _default_space(dataset: Dataset, stream: Stream | None, samples: int) -> str:
    if samples == 1:
        # The versions before DICOM had no such element, and large values were bright (ACR-NEMA 300-1988).
        return PALETTE if "RedPaletteColorLookupTableDescriptor" in dataset else "MONOCHROME2"
    return "RGB" if stream is None or stream.is_rgb else "YBR_FULL_422"


def _flag(dataset: Dataset, keyword: str, *, default: int) -> int:
    value = _stated(dataset, keyword)
    if value not in (None, 0, 1):
        raise MedistillError(f"broken DICOM image: its {keyword} is {value}, expected 0 or 1")
    return default if value is None else value


def _of_stream(dataset: Dataset, stream: Stream, frame: int) -> tuple[int, int]:
    """Bits allocated and stored of a compressed frame: its own where the header's cannot be meant."""
    own = stream.bits
    if own > _CONTAINERS[-1]:
        raise MedistillError(f"broken DICOM image: a compressed frame is of another size: {own} bits")
    allocated = _stated(dataset, "BitsAllocated") or _container(own)
    stored = _stated(dataset, "BitsStored")
    if stored is None:
        stored = own
    # Lossless frames are often as deep as their container, whatever is stored in it: that says nothing.
    is_deeper = stored < own and (own != allocated or stream.kind == "JPEG")
    if is_deeper or own <= 8 < stored:
        _check_windows(dataset, frame, own, stored)
        warnings.warn(Remark(DEPTH_OF_STREAM), stacklevel=1)
        stored = own
    is_jpeg = stream.kind in ("JPEG", "lossless JPEG")
    return (_container(own) if is_jpeg else max(allocated, _container(own))), stored


def _check_windows(dataset: Dataset, frame: int, own: int, stored: int) -> None:
    """Refuse a frame of fewer bits than its windows are for: it would come out black."""
    elements = FrameElements(dataset, frame)
    scope = elements.scope("PixelValueTransformationSequence", "RescaleSlope")
    slope = (numbers_of(scope, "RescaleSlope") or [1.0])[0] or 1.0
    intercept = (numbers_of(scope, "RescaleIntercept") or [0.0])[0]
    windows = windows_at(elements.scope("FrameVOILUTSequence", "WindowCenter"))
    for center, width in windows[:1]:
        if (center + width / 2 - intercept) / slope > 2 << own:
            both = f"of {own} bits, where its header says {stored} and has a window for those"
            raise MedistillError(f"broken DICOM image: a compressed frame is {both}")


def _of_native(dataset: Dataset, samples: int, pixel_bytes: int) -> tuple[int, int]:
    """Bits allocated and stored, one by the other or by the length of the pixels."""
    allocated, stored, high = (_stated(dataset, name) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    if allocated == _PACKED and _unpack(dataset, samples):
        allocated = 16
    if allocated is None:
        least = max(stored or 1, (high or 0) + 1)
        by_length = pixel_bytes * 8 // samples
        allocated = by_length if by_length in _CONTAINERS and by_length >= least else _container(least)
    if stored is None:
        stored = high + 1 if high is not None and high < allocated else allocated
    if stored > allocated and allocated in _CONTAINERS:
        if pixel_bytes * 8 != samples * _container(stored):
            both = f"{stored} bits stored in {allocated} allocated"
            raise MedistillError(f"broken DICOM image: its header says {both} to a sample")
        allocated = _container(stored)
    return allocated, stored


def _unpack(dataset: Dataset, samples: int) -> bool:
    """Give 12-bit values that are stored without a gap 16 bits each, if the pixels are of that length.

    ACR-NEMA and early DICOM did so: the next value begins in the bit above the last one's.
    """
    count = number_of(dataset, "Rows") * number_of(dataset, "Columns") * samples
    count *= max(1, number_of(dataset, "NumberOfFrames"))
    packed = np.frombuffer(dataset.PixelData, np.uint8)
    rest = len(packed) - -(-count * 3 // 2)
    if rest < 0:
        raise MedistillError("broken DICOM image: truncated or damaged pixel data")
    if dataset.original_encoding[1] is False or rest > 1:
        return False
    three = np.pad(packed, (0, -len(packed) % 3)).reshape(-1, 3).astype(np.uint16)
    low, high = three[:, 0] | (three[:, 1] & 15) << 8, three[:, 1] >> 4 | three[:, 2] << 4
    dataset.PixelData = np.stack([low, high], axis=1).ravel()[:count].astype("<u2").tobytes()
    return True


def _container(bits: int) -> int:
    return next((size for size in _CONTAINERS[1:] if bits <= size), 64)


def _stated(dataset: Dataset, keyword: str) -> int | None:
    """The first value as a whole number; None where it is absent, empty or no number."""
    numbers = numbers_of(dataset, keyword)
    return int(numbers[0]) if numbers else None


def _set(dataset: Dataset, keyword: str, value: Any) -> None:
    """Write an element that is absent or differs, which counts as a departure from the standard."""
    if keyword in dataset and dataset[keyword].value == value:
        return
    if keyword not in ("BitsAllocated", "HighBit"):
        warnings.warn(f"{keyword} of the header is not used", stacklevel=1)
    setattr(dataset, keyword, value)
