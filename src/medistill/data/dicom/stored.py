"""The values a DICOM frame stores, whatever it is packed in."""

from typing import Any

import numpy as np
from jaxtyping import Int64

from medistill.data.dicom.file import MISSING, Dataset, number_of, require_pydicom
from medistill.data.dicom.frame import check_frame, jpeg_precision
from medistill.errors import MedistillError

_EXPLICIT, _IMPLICIT, _BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = (_IMPLICIT, _EXPLICIT, _BIG, _DEFLATED)
_RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
_JPEG_EXTENDED = f"{_JPEG}51"
_VIDEO = f"{_JPEG}10"  # MPEG-2, MPEG-4 and HEVC begin so
_JPEG_2000 = (f"{_JPEG}9", f"{_JPEG}20")
# Pillow refuses a broken frame where gdcm may end the process; of JPEG 2000 it knows too few depths.
_PLUGINS = ("pillow", "gdcm", "pylibjpeg")
_PLUGINS_2000 = ("pylibjpeg", "gdcm", "pillow")


def stored_frame(dataset: Dataset, frame: int, *, as_rgb: bool = False) -> np.ndarray:
    """A frame, by its number from 0, in the container it is stored in: (h, w), or (h, w, 3) of color.

    Call it inside `caught_warnings`, which also turns what a decoder raises into one line.
    """
    syntax = _syntax(dataset)
    if syntax.startswith(_VIDEO):
        raise MedistillError("not an image: the DICOM file holds a video")
    try:
        decoder: Any = require_pydicom().pixels.get_decoder(syntax)
    except NotImplementedError:
        raise MedistillError("DICOM image in a transfer syntax that cannot be decoded") from None
    if not decoder.is_available:
        raise MedistillError(MISSING)
    if syntax not in (*_NATIVE, _RLE):
        _check_compressed(dataset, frame, syntax)
    order = _PLUGINS_2000 if syntax.startswith(_JPEG_2000) else _PLUGINS
    plugin = next((name for name in order if name in decoder.available_plugins), "")
    array, _ = decoder.as_array(
        dataset, index=frame, raw=not as_rgb, correct_unused_bits=False, decoding_plugin=plugin
    )
    return array


def cleared(dataset: Dataset, raw: np.ndarray) -> Int64[np.ndarray, "h w"]:
    """The values without the bits above those stored, where old files keep overlays; signed if they are."""
    bits = number_of(dataset, "BitsStored")
    is_native = _syntax(dataset) in (*_NATIVE, _RLE)
    shift = number_of(dataset, "HighBit") + 1 - bits if is_native and "HighBit" in dataset else 0
    # Native pixels may lie higher in their cell, below overlays that older editions allowed (PS3.5 8.1.1).
    values = raw.astype(np.int64) >> max(0, shift) & (1 << bits) - 1
    if stored_range(dataset)[0] < 0:
        values -= (values >> bits - 1) << bits
    return values


def stored_range(dataset: Dataset) -> tuple[int, int]:
    """The smallest and the largest value that the bits stored can say."""
    bits = number_of(dataset, "BitsStored")
    if not 1 <= bits <= 32:
        raise MedistillError("broken DICOM image: its header states no number of bits")
    if number_of(dataset, "PixelRepresentation"):
        return -(1 << bits - 1), (1 << bits - 1) - 1
    return 0, (1 << bits) - 1


def _syntax(dataset: Dataset) -> str:
    """The transfer syntax; of a file that starts without one, the native one it was found to be read by."""
    if named := getattr(dataset.file_meta, "TransferSyntaxUID", None):
        return str(named)
    implicit, little = dataset.original_encoding
    native = _IMPLICIT if implicit else _EXPLICIT if little else _BIG
    dataset.file_meta.TransferSyntaxUID = require_pydicom().uid.UID(native)  # the decoder looks here
    return native


def _check_compressed(dataset: Dataset, frame: int, syntax: str) -> None:
    count = max(1, number_of(dataset, "NumberOfFrames"))
    stream: bytes = require_pydicom().encaps.get_frame(
        dataset.PixelData, frame, number_of_frames=count, extended_offsets=_offsets(dataset)
    )
    check_frame(
        stream,
        rows=number_of(dataset, "Rows"),
        columns=number_of(dataset, "Columns"),
        samples=number_of(dataset, "SamplesPerPixel"),
        bits=number_of(dataset, "BitsAllocated"),
    )
    if syntax == _JPEG_EXTENDED and jpeg_precision(stream) > 8:
        raise MedistillError("DICOM image in JPEG Extended of 12 bits, which cannot be decoded")


def _offsets(dataset: Dataset) -> Any:
    tables = [dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    return tuple(tables) if all(tables) else None
