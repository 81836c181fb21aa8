"""Studies of a split, an image each, and their distinct reports."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from medistill.data.report.sections import normalized_text
from medistill.data.study import NO_REPORT

UNIT = (
    "study, by its first frontal image (PA, AP or not stated), or its first image if none is frontal; "
    "a study whose images have texts of their own counts once a text"
)
_SIDEWAYS = "lateral"


@dataclass(frozen=True, kw_only=True)
class Studies:
    """The studies of a split in the order of their ids, whatever the order of the rows."""

    rows: Int[np.ndarray, " n"]
    """The row whose image stands for each study."""
    study_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    texts: tuple[str, ...]
    labels: Float32[np.ndarray, "n f"]
    """1 present, 0 absent, -1 uncertain, NaN not stated."""

    def __len__(self) -> int:
        return len(self.study_ids)

    @property
    def reported(self) -> Int[np.ndarray, " r"]:
        """The places of those that have a report."""
        return np.flatnonzero([text != NO_REPORT for text in self.texts])

    def with_labels(self, labels: Float32[np.ndarray, "n f"]) -> "Studies":
        return replace(self, labels=labels)

    def select(self, places: Int[np.ndarray, " r"]) -> "Studies":
        return Studies(
            rows=self.rows[places],
            study_ids=tuple(self.study_ids[place] for place in places),
            patient_ids=tuple(self.patient_ids[place] for place in places),
            texts=tuple(self.texts[place] for place in places),
            labels=self.labels[places],
        )


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The distinct reports of some studies: one text for all that read the same when normalized."""

    texts: tuple[str, ...]
    text_of: Int[np.ndarray, " n"]
    """The gallery text of each study."""


def studies_of(rows: Any) -> Studies:
    """One entry a study from `data.corpus.Rows`, or one for each different text of it."""
    first: dict[tuple[str, str], int] = {}
    frontal: dict[tuple[str, str], int] = {}
    for row, (unit, view) in enumerate(zip(units(rows.study_ids, rows.texts), rows.views, strict=True)):
        first.setdefault(unit, row)
        if view is None or view.casefold() != _SIDEWAYS:
            frontal.setdefault(unit, row)
    return studies_at(rows, [frontal.get(unit, first[unit]) for unit in sorted(first)])


def studies_at(rows: Any, chosen: Sequence[int]) -> Studies:
    """One entry for each of these rows, in this order."""
    every = Studies(
        rows=np.arange(len(rows.study_ids)),
        study_ids=tuple(rows.study_ids),
        patient_ids=tuple(rows.patient_ids),
        texts=tuple(rows.texts),
        labels=np.asarray(rows.labels, dtype=np.float32),
    )
    return every.select(np.array(chosen, dtype=np.int64))


def units(study_ids: Sequence[str], texts: Sequence[str]) -> list[tuple[str, str]]:
    """What each row is an image of: a study and what it says."""
    return [(study, normalized_text(text)) for study, text in zip(study_ids, texts, strict=True)]


def gallery_of(texts: Sequence[str]) -> Gallery:
    """The distinct texts in order of first appearance."""
    place: dict[str, int] = {}
    distinct: list[str] = []
    text_of: list[int] = []
    for text in texts:
        key = normalized_text(text)
        if key not in place:
            place[key] = len(distinct)
            distinct.append(text)
        text_of.append(place[key])
    return Gallery(texts=tuple(distinct), text_of=np.array(text_of, dtype=np.int64))
