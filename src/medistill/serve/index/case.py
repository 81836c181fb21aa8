"""An indexed image, and one that a search found."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ID_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Case:
    """One indexed image with what its corpus says of it."""

    id: str
    """Opaque, fit for a URL, the same in every index of the same corpus."""
    study_id: str
    patient_id: str
    split: str
    view: str | None
    sex: str | None
    age: float | None
    """Years."""
    date: str | None
    """ISO."""
    source: str
    text: str
    """The report; empty where the study has none."""
    labels: Mapping[str, int]
    """Finding -> 1 present, 0 absent, -1 uncertain; what is not stated is left out."""
    row: int
    """Of the corpus."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A study that a search found, by its best image."""

    case: Case
    score: float
    """Cosine of the query with the image's vector."""


def case_digest(corpus_sha256: str, row: int) -> bytes:
    """What the id of a case is the hexadecimal of."""
    return hashlib.sha256(f"{corpus_sha256} {row}".encode()).digest()[:ID_BYTES]


def case_id(corpus_sha256: str, row: int) -> str:
    return case_digest(corpus_sha256, row).hex()


def digest_of(name: str) -> bytes | None:
    """What a case's id is the hexadecimal of; None if it is no id."""
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        return None
    return digest if len(digest) == ID_BYTES and digest.hex() == name else None


def case_of(cells: Mapping[str, Any], name: str, findings: Sequence[str]) -> Case:
    """From the cells of its row in an index, its id and the findings there, in whose order labels are."""
    labels, date = cells["labels"] or {}, cells["date"]
    fields: dict[str, Any] = {**cells, "id": name, "date": date and date.isoformat()}
    fields["labels"] = {finding: labels[finding] for finding in findings if labels.get(finding) is not None}
    fields |= {column: cells[column] or "" for column in ("text", "source")}
    return Case(**fields)
