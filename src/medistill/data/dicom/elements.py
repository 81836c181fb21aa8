"""Values of DICOM elements, read with care."""

import math
from typing import Any

from medistill.data.dicom.file import Dataset


def value_of(dataset: Dataset, keyword: str) -> Any:
    """The value of an element; None where it is absent, empty or cannot be understood."""
    try:
        return dataset.get(keyword)
    except Exception:  # as for the file: a broken element raises anything
        return None


def text_of(dataset: Dataset, keyword: str) -> str:
    """The value as text, several joined by a backslash, without padding."""
    value = value_of(dataset, keyword)
    if value is None:
        return ""
    many = value if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
    return "\\".join(str(item).strip(" \0") for item in many)


def number_of(dataset: Dataset, keyword: str) -> int:
    """The value as a whole number, 0 where there is none."""
    try:
        return int(value_of(dataset, keyword) or 0)
    except (TypeError, ValueError, OverflowError):
        return 0


def numbers_of(dataset: Dataset, keyword: str) -> list[float]:
    """The values as numbers; none if one of them is not a finite number."""
    try:
        numbers = [float(part) for part in text_of(dataset, keyword).split("\\") if part]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence."""
    value = value_of(dataset, keyword)
    return list(value) if type(value).__name__ == "Sequence" else []
