"""From stored values to brightness: modality LUT, then VOI LUT or window (PS3.3 C.7.6.16, C.11.1, C.11.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from medistill.data.dicom.classes import is_angiography
from medistill.data.dicom.file import Dataset, items_of, numbers_of, text_of, value_of
from medistill.errors import MedistillError

PERCENTILES = (0.5, 99.5)
"""What becomes black and white where no window is given.

Half a percent leaves out what is not anatomy (a lead letter, dead pixels, the edge of the collimation), and
is too little to take an apex or a costophrenic angle with it.
"""
Values = Float64[np.ndarray, " n"]
Curve = Callable[[Values], Values]


@dataclass(frozen=True)
class Lut:
    """A table of brightness for values from `first` on; what lies outside takes the nearest entry."""

    first: int
    entries: Int64[np.ndarray, " n"]
    bits: int

    def __call__(self, values: Values) -> Values:
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return self.entries[places.astype(np.int64)].astype(np.float64)

    @property
    def top(self) -> int:
        """The largest brightness: by the bits said, unless the entries need fewer or more of them."""
        needed = int(self.entries.max()).bit_length()
        return (1 << (self.bits if needed == self.bits else max(needed, 1))) - 1


class FrameElements:
    """Elements as they hold for one frame: its own functional group, the shared one, the image's."""

    def __init__(self, dataset: Dataset, frame: int) -> None:
        own = items_of(dataset, "PerFrameFunctionalGroupsSequence")[frame : frame + 1]
        self._groups = [*own, *items_of(dataset, "SharedFunctionalGroupsSequence")[:1]]
        self._dataset = dataset
        self.is_angiography = is_angiography(dataset)

    def scope(self, macro: str, keyword: str) -> Dataset:
        """The dataset that holds `keyword`: an item of the macro's sequence, or the image itself."""
        for group in self._groups:
            for item in items_of(group, macro)[:1]:
                if keyword in item:
                    return item
        return self._dataset


def modality_curve(elements: FrameElements, *, lowest: int) -> tuple[Curve, bool]:
    """Stored values, none below `lowest`, -> values with a meaning; and whether that was by a table."""
    macro = "PixelValueTransformationSequence"
    image = elements.scope(macro, "ModalityLUTSequence")
    tables = [] if elements.is_angiography else items_of(image, "ModalityLUTSequence")[:1]
    luts = [lut for item in tables if (lut := _lut(item, lowest < 0))]
    if luts:
        return luts[0], True
    scope = elements.scope(macro, "RescaleSlope")
    slope, intercept = numbers_of(scope, "RescaleSlope"), numbers_of(scope, "RescaleIntercept")
    a, b = (slope or [1.0])[0] or 1.0, (intercept or [0.0])[0]
    return lambda stored: stored * a + b, False


def voi_curve(elements: FrameElements, *, lowest: float, window: str | None) -> Curve | None:
    """Values -> brightness from 0 to 1, by the first table or window, or by the one explained as `window`.

    None where the file gives neither. `lowest` is the smallest value there can be.
    """
    macro = "FrameVOILUTSequence"
    tables = items_of(elements.scope(macro, "VOILUTSequence"), "VOILUTSequence")
    scope = elements.scope(macro, "WindowCenter")
    windows = windows_at(scope)
    if window is not None:
        tables = [item for item in tables if _is_named(text_of(item, "LUTExplanation"), window)]
        names = text_of(scope, "WindowCenterWidthExplanation").split("\\")
        windows = [shape for shape, name in zip(windows, names, strict=False) if _is_named(name, window)]
        if not tables and not windows:
            raise MedistillError("the DICOM image has no window of the name asked for")
    for item in tables:
        if lut := _lut(item, lowest < 0):
            return lambda values: lut(values) / lut.top
    for center, width in windows:
        if curve := _window(text_of(scope, "VOILUTFunction").upper(), center, width):
            return curve
    return None


def percentile_curve(values: Values, counts: Int64[np.ndarray, " n"]) -> Curve:
    """From one of PERCENTILES of the values, each found so many times, to the other."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(counts[order])
    places = [np.searchsorted(share, percent / 100 * share[-1]) for percent in PERCENTILES]
    low, high = (float(values[order[place]]) for place in places)
    return range_curve(low, high)


def range_curve(low: float, high: float) -> Curve:
    return lambda values: np.clip((values - low) / ((high - low) or 1.0), 0, 1)


def _window(function: str, center: float, width: float) -> Curve | None:
    if width <= 0:
        return None
    # The three functions of PS3.3 C.11.2.1.2 and C.11.2.1.3; LINEAR is the one where none is named.
    if function == "SIGMOID":
        return lambda values: 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function == "LINEAR_EXACT" or width < 1:  # below 1 the linear function is not defined
        return lambda values: np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:
        return lambda values: (values > center - 0.5).astype(np.float64)
    return lambda values: np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def windows_at(scope: Dataset) -> list[tuple[float, float]]:
    """Center and width of the windows that the dataset or item states, in its order."""
    return list(zip(numbers_of(scope, "WindowCenter"), numbers_of(scope, "WindowWidth"), strict=False))


def _is_named(explanation: str, window: str) -> bool:
    return explanation.strip().casefold() == window.strip().casefold()


def _lut(item: Dataset, signed: bool) -> Lut | None:
    """A table from its sequence item; None if it cannot be one."""
    descriptor = [int(number) for number in numbers_of(item, "LUTDescriptor")]
    entries = _entries(value_of(item, "LUTData"), descriptor)
    if len(descriptor) != 3 or entries is None or not len(entries):
        return None
    first = descriptor[1] & 0xFFFF  # its VR is that of the values, which not every writer knows
    first -= 0x10000 if signed and first >= 0x8000 else 0
    return Lut(first, entries, descriptor[2])


def _entries(data: Any, descriptor: list[int]) -> Int64[np.ndarray, " n"] | None:
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2")
    elif data is None:
        return None
    else:
        words = np.atleast_1d(np.asarray(data)).astype(np.int64).astype(np.uint16)
    count = (descriptor[0] & 0xFFFF) or 0x10000  # 0 stands for 65,536 entries (PS3.3 C.11.1.1.1)
    if len(words) * 2 == count + count % 2 and descriptor[2] <= 8:  # two entries in a word
        return words.astype("<u2").view(np.uint8)[:count].astype(np.int64)
    return words[:count].astype(np.int64)
