"""The grey levels a DICOM frame stores, for a viewer that windows them itself."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16

from medistill.data.dicom.described import MONOCHROME
from medistill.data.dicom.file import Dataset, caught_warnings, number_of, text_of
from medistill.data.dicom.image import (
    BROKEN_PIXELS,
    dicom_images,
    inverted,
    opened_frames,
    padding,
    squared,
)
from medistill.data.dicom.lut import FrameElements, modality_curve, windows_at
from medistill.data.dicom.stored import cleared, stored_frame, stored_range

_TOP = 65535


@dataclass(frozen=True, kw_only=True)
class Levels:
    """A frame before any window."""

    values: UInt16[np.ndarray, "h w"]
    """Bone bright, padding 0, pixels square."""
    bits: int
    """That the file stores, up to 16."""
    window: tuple[float, float] | None
    """Center and width of the file's first window, in `values`; None if it states none."""


def dicom_levels(data: bytes, *, max_pixels: int) -> Levels:
    """The middle frame of a file after the modality LUT; MedistillError as of `dicom_images`.

    Values that the LUT makes negative are all raised alike, so that the lowest possible one is 0; a range
    that 16 bits cannot hold, or of less than 8 bits, is stretched over 16. The window moves with them.
    Inverted frames (MONOCHROME1) are turned round. Color becomes 8-bit luma.
    """
    opened = opened_frames(data, max_pixels=max_pixels)
    dataset, number = opened.dataset, opened.numbers[0]
    if text_of(dataset, "PhotometricInterpretation") not in MONOCHROME:
        grey = next(dicom_images(data, max_pixels=max_pixels)).grey
        return Levels(values=grey >> 8, bits=8, window=None)
    with caught_warnings(BROKEN_PIXELS):
        return _monochrome(dataset, number, max_pixels)


def _monochrome(dataset: Dataset, frame: int, max_pixels: int) -> Levels:
    elements = FrameElements(dataset, frame)
    stored = cleared(dataset, raw := stored_frame(dataset, frame))
    ends = np.array(stored_range(dataset), np.float64)
    meaning, by_table = modality_curve(elements, lowest=int(ends[0]))
    reach = np.array([0.0, _TOP]) if by_table else np.sort(meaning(ends))
    span = float(reach[1] - reach[0]) or 1.0
    gain = 1.0 if 255 <= span <= _TOP else _TOP / span
    values = (meaning(stored.ravel().astype(np.float64)).reshape(stored.shape) - reach[0]) * gain
    windows = windows_at(elements.scope("FrameVOILUTSequence", "WindowCenter"))
    window = next(((float((c - reach[0]) * gain), float(w * gain)) for c, w in windows if w > 0), None)
    if inverted(dataset):
        values = span * gain - values
        window = window and (span * gain - window[0], window[1])
    levels = np.clip(values + 0.5, 0, _TOP).astype(np.uint16)
    levels[padding(dataset, raw, stored)] = 0
    bits = min(16, number_of(dataset, "BitsStored"))
    return Levels(values=squared(levels, dataset, frame, max_pixels), bits=bits, window=window)
