"""The values a DICOM frame stores, whatever it is packed in."""

import warnings

import numpy as np
from jaxtyping import Int64

from medistill.data.dicom.decoders import decoded, decoded_native
from medistill.data.dicom.file import Dataset, Remark, number_of
from medistill.data.dicom.packing import is_packed, stream_at
from medistill.errors import MedistillError

LOW_BITS = "values read from the low bits, though the header places them higher (HighBit)"


def stored_frame(dataset: Dataset, frame: int, *, as_rgb: bool = False) -> np.ndarray:
    """A frame, by its number from 0, in the container it is stored in: (h, w), or (h, w, 3) of color.

    Call it inside `caught_warnings`, on a dataset that is settled and described.
    """
    stream = stream_at(dataset, frame)
    if stream is None:
        return decoded_native(dataset, frame, as_rgb=as_rgb)
    stated = tuple(number_of(dataset, name) for name in ("Rows", "Columns", "SamplesPerPixel"))
    own = stream.rows, stream.columns, stream.samples
    allocated = number_of(dataset, "BitsAllocated")
    if own != stated or stream.bits > allocated:
        sizes = (f"{rows:,} x {columns:,} x {samples}" for rows, columns, samples in (own, stated))
        raise MedistillError(
            "broken DICOM image: a compressed frame is of another size than its header says: "
            + f" of {stream.bits} bits, not ".join(sizes)
            + f" of up to {allocated}"
        )
    return decoded(dataset, frame, stream, as_rgb=as_rgb)


def cleared(dataset: Dataset, raw: np.ndarray) -> Int64[np.ndarray, "h w"]:
    """The values without the bits above those stored, where old files keep overlays; signed if they are."""
    bits = number_of(dataset, "BitsStored")
    shift = 0 if is_packed(dataset) else _shift(dataset, raw)
    values = raw.astype(np.int64) >> shift & (1 << bits) - 1
    if stored_range(dataset)[0] < 0:
        values -= (values >> bits - 1) << bits
    return values


def _shift(dataset: Dataset, raw: np.ndarray) -> int:
    """How far native values lie above the lowest bit of their cell, below overlays of old (PS3.5 8.1.1)."""
    bits = number_of(dataset, "BitsStored")
    shift = number_of(dataset, "HighBit") + 1 - bits
    if shift <= 0:
        return 0
    # Some writers set HighBit to the top of the cell and leave the values at its bottom. Only where the whole
    # frame says so are they believed: something below the alignment, and nothing above the bits stored.
    signed = stored_range(dataset)[0] < 0
    low, high = int(raw.min()), int(raw.max())
    bottom, top = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    if bottom <= low and high < top and (raw & (1 << shift) - 1).any():
        warnings.warn(Remark(LOW_BITS), stacklevel=1)
        return 0
    return shift


def stored_range(dataset: Dataset) -> tuple[int, int]:
    """The smallest and the largest value that the bits stored can say."""
    bits = number_of(dataset, "BitsStored")
    if not 1 <= bits <= 32:
        raise MedistillError("broken DICOM image: its header states no number of bits")
    if number_of(dataset, "PixelRepresentation"):
        return -(1 << bits - 1), (1 << bits - 1) - 1
    return 0, (1 << bits) - 1
