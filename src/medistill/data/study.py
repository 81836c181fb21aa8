"""The record every source yields: one examination, its images and report."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

NO_REPORT = "(The source has no report of this study.)"
"""Text of a study without a report: it is evaluated by its labels, never trained on or searched for."""

_AGE = re.compile(r"(\d{1,3})([DWMY]?)", re.IGNORECASE)
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "": 1.0}


@dataclass(frozen=True, kw_only=True)
class StudyImage:
    """One image of a study."""

    image: bytes
    """The file as it will be stored: PNG or JPEG. 16-bit grey fills 0..65535; its upper byte is shown."""
    view: str | None = None
    """`PA`, `AP` or `lateral`; None where the source does not say."""
    masks: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """Finding -> PNG of where it is, 0 or 255, as large as the image."""
    boxes: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    """Finding -> left, top, right, bottom in pixels of the image; four more for each further box."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """One examination of one patient: one or more images and the text they are paired with."""

    study_id: str
    patient_id: str
    images: tuple[StudyImage, ...] = ()
    """Empty only in a draft, whose images are still files."""
    text: str = NO_REPORT
    """What training encodes; never empty."""
    findings: str | None = None
    impression: str | None = None
    labels: Mapping[str, int] = field(default_factory=dict[str, int])
    """Finding -> 1 present, 0 absent, -1 uncertain; a finding not stated is left out."""
    split: str | None = None
    """`train`, `val`, `test` or a name of the source's own; None to be split by patient."""
    sex: str | None = None
    age: float | None = None
    """Years."""
    date: datetime.date | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A row of a source that cannot be trained on, and why."""

    row: int
    """Row or file number in the source, from 1."""
    reason: str
    """One line without patient text."""
    path: str
    """The file or row's own name; written to disk only as a salted hash unless the user asks."""
    skipped: bool = False
    """Set aside by rule, as a structured report is: listed and counted, but no fault of the source."""


def age_with_unit(text: str, *, oldest: int) -> float | None:
    """From `045Y`, `006M`, `62` or `22y`; None for what is no age, or more than `oldest`."""
    match = _AGE.fullmatch(text)
    age = int(match[1]) * _YEARS[match[2].upper()] if match else oldest + 1.0
    return age if age <= oldest else None
