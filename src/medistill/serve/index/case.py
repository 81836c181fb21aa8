"""One indexed image."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    study_id: str
    patient_id: str
    split: str
    view: str | None
    sex: str | None
    age: float | None
    date: str | None
    source: str
    text: str
    labels: Mapping[str, int]
    row: int


@dataclass(frozen=True, kw_only=True)
class Hit:
    case: Case
    score: float
