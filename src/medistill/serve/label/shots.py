"""A user's table of labeled examples: which image, which findings."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from medistill.data.ids import KnownIds
from medistill.data.sources.parts.cells import label_state
from medistill.data.sources.parts.table import Row, Table, check_not_rounded
from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import check_name

IMAGE, STUDY, PATIENT = "image", "study_id", "patient_id"
_NAMES = (IMAGE, STUDY, PATIENT)


@dataclass(frozen=True, kw_only=True)
class Shots:
    """The rows of the table."""

    path: Path
    column: str
    """`image` or `study_id`: what the rows name."""
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    """Each row's number, from 1 below the header."""
    patients: tuple[str, ...] | None
    """None where the table does not tell patients apart."""
    findings: tuple[str, ...]
    labels: Float[np.ndarray, "n f"]
    """1 present, 0 absent, NaN where the cell is empty or says -1."""

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def fault(self, place: int, what: str) -> CallError:
        """An error that names the row by its number: what it names may be a patient."""
        return CallError(f"row {self.numbers[place]} of {self.path.name}: {what}")


def read_shots(path: Path, findings: Sequence[str] = ()) -> Shots:
    """The table; its findings are the columns named, else all but those that say which image and patient."""
    table = Table(path, known=[*_NAMES, *findings])
    column = _naming_column(table)
    for finding in findings:
        if finding not in table.header:
            raise CallError(f"no column `{finding}` in {path.name}; {table.found}")
    findings = tuple(findings) or tuple(name for name in table.header if name and name not in _NAMES)
    for finding in findings:
        check_name(finding)
    if not findings:
        raise CallError(f"{path.name} has no column of a finding beside `{column}`: expected 1, 0 or nothing")
    rows = list(table.rows())
    for row in rows:
        if row.fault:
            raise CallError(f"row {row.number} of {path.name}: {row.fault}")
        check_not_rounded(row, (STUDY, PATIENT), table)
    labels = [[_label(row, finding, path) for finding in findings] for row in rows]
    shots = Shots(
        path=path,
        column=column,
        names=tuple(row.cells[column].strip() for row in rows),
        numbers=tuple(row.number for row in rows),
        patients=_patients(row.cells[PATIENT] for row in rows) if PATIENT in table.header else None,
        findings=findings,
        labels=np.array(labels, np.float64).reshape(len(rows), len(findings)),
    )
    _check_names(shots)
    return shots


def _patients(cells: Iterable[str]) -> tuple[str, ...]:
    """Each by the first spelling of the id, so that no fold holds one patient out and trains on another."""
    known = KnownIds()
    return tuple(map(known.first, cells))


def _naming_column(table: Table) -> str:
    names = [name for name in (IMAGE, STUDY) if name in table.header]
    if len(names) != 1:
        raise CallError(
            f"{table.path.name} has {' and '.join(names) or 'neither'} of the columns `{IMAGE}` (a path) and "
            f"`{STUDY}`; expected one of them beside a column for each finding; {table.found}"
        )
    return names[0]


def _label(row: Row, finding: str, path: Path) -> float:
    try:
        state = label_state(row.cells[finding])
    except ValueError as error:
        raise CallError(
            f"row {row.number} of {path.name}, column `{finding}`: {error}; name the columns "
            "of findings with --findings if this is none"
        ) from None
    return np.nan if state is None or state == -1 else float(state)


def _check_names(shots: Shots) -> None:
    first: dict[str, int] = {}
    for place, name in enumerate(shots.names):
        if not name:
            raise shots.fault(place, f"nothing in column `{shots.column}`")
        if name in first:
            raise shots.fault(place, f"names the same as row {shots.numbers[first[name]]}: leave one out")
        first[name] = place
