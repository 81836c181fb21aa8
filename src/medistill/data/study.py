"""The record every source yields: one examination, its images and report."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

NO_REPORT = "(The source has no report of this study.)"
"""Text of a study without a report: it is evaluated by its labels, never trained on or searched for."""


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
    images: tuple[StudyImage, ...]
    text: str
    """What training encodes; never empty, but `NO_REPORT` where there is none."""
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
