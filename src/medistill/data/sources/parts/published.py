"""What the sources of published sets share: their options, and tables checked against what was published."""

import contextlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medistill.data.image import MAX_PIXELS
from medistill.data.sources.parts.cells import label_state
from medistill.data.sources.parts.draft import Draft, Reading
from medistill.data.sources.parts.marked import marked_work
from medistill.data.sources.parts.table import Row, Table
from medistill.data.study import Reject
from medistill.errors import CallError, MedistillError


@dataclass(frozen=True, kw_only=True)
class PublishedSet:
    """A folder as it was published, each image a study: the options of such a source, in the flags' order."""

    name: ClassVar[str]
    split: ClassVar[str] = "official"
    """How patients come to their splits, for the card."""

    path: Path
    """The folder; each set says what it holds."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""

    def made_with(self) -> dict[str, Any]:
        return {"split": self.split, "size": self.size, "max_pixels": self.max_pixels}

    def reading(
        self, units: Iterable[Draft | Reject], expected: int, findings: tuple[str, ...] = ()
    ) -> Reading:
        work = marked_work(self.size, self.max_pixels)
        return Reading(units=units, work=work, findings=findings, expected=expected)


def published_table(folder: Path, names: Sequence[str], columns: Collection[str]) -> Table:
    """The first of these files that lies in the folder, with at least these columns."""
    path = published_file(folder, names)
    table = Table(path, known=columns)
    missing = [column for column in columns if column not in table.header]
    if missing:
        known = [column for column in columns if column in table.header]
        has = f"it has {', '.join(known)}" if known else "it has none of those that were published"
        raise CallError(f"{path.name} has no column `{missing[0]}`; {has}; take the file as it was published")
    return table


def published_file(folder: Path, names: Sequence[str]) -> Path:
    if not folder.is_dir():
        raise CallError(f"no such folder: {folder}")
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise CallError(
            f"no {' or '.join(names)} in {folder}: name the folder of the published set that holds it"
        )
    return paths[0]


def published_text(folder: Path, name: str) -> str:
    """All of a text file in the folder."""
    try:
        return published_file(folder, (name,)).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise MedistillError(f"{name} cannot be read as text: take it as it was published") from None


def listed_names(path: Path) -> set[str]:
    """The lines of a text file with a name on each."""
    try:
        return {line.strip() for line in path.read_text("utf-8-sig").splitlines()} - {""}
    except (OSError, UnicodeDecodeError):
        raise MedistillError(f"{path} cannot be read as a list of names") from None


def check_apart(splits: Iterable[tuple[str, str]], where: str) -> None:
    """Of pairs of a patient and a split: CallError if a patient is in two.

    Found before any image is read, which may take hours.
    """
    split_of: dict[str, str] = {}
    torn = {patient for patient, split in splits if split_of.setdefault(patient, split) != split}
    if torn:
        raise CallError(
            f"{len(torn):,} patient(s) are in two splits by {where}: "
            "take the files as they were published, where no patient is"
        )


def first_file(places: Sequence[Path]) -> Path:
    """The first place where there is a file, or the first of all to say that there is none."""
    return next((place for place in places if place.is_file()), places[0])


def sound_rows(table: Table) -> Iterator[Row]:
    """The rows of a table that stands for itself, where one that is broken makes the others doubtful."""
    for row in table.rows():
        if row.fault:
            raise CallError(f"{table.path.name}, row {row.number}: {row.fault}; take it as it was published")
        yield row


def integer_label(row: Row, column: str, table: Table) -> bool:
    """A cell that says 1 or 0, or 1.0, 0.0, True or False as data frames write them."""
    with contextlib.suppress(ValueError):
        if (state := label_state(row.cells[column])) in (0, 1):
            return state == 1
    raise CallError(f"column `{column}` of {table.path.name}, row {row.number}: neither 1 nor 0")


def box_numbers(row: Row, columns: Sequence[str], table: Table) -> tuple[float, ...]:
    """The four numbers of a box."""
    try:
        numbers = tuple(float(row.cells[column]) for column in columns)
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise CallError(
            f"{table.path.name}, row {row.number}: {', '.join(columns)} are no box; take it as published"
        )
    return numbers


def split_70_15_15(names: Iterable[str], *, seed: int) -> Mapping[str, str]:
    """Name -> split: 70 % train, 15 % val, 15 % test of the names in their order, shuffled by a seed.

    The rule of GLoRIA, MGCA and CXR-CLIP for RSNA (`preprocess_datasets.py`): 30 %
    set aside by scikit-learn's `train_test_split(random_state=seed)`, then halved by it, the first to test.
    """
    train, rest = _set_aside(sorted(names), 0.3, seed)
    test, val = _set_aside(rest, 0.5, seed)
    parts = {"train": train, "test": test, "val": val}
    return {name: split for split, part in parts.items() for name in part}


def _set_aside(names: list[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """What `train_test_split` gives: the part that stays and the part of `share`, rounded up."""
    # Not train_test_split itself: it refuses the handful of images that a sample of a set has.
    order = np.random.RandomState(seed).permutation(len(names))
    count = int(np.ceil(share * len(names)))
    return [names[place] for place in order[count:]], [names[place] for place in order[:count]]
