"""A CSV file read row by row, and columns of it as labels, with errors a person can act on."""

import csv
import functools
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medistill.data.sources.parts.cells import is_missing, is_sex_or_view, label_state
from medistill.errors import CallError, MedistillError

_NAME = re.compile(r"[A-Za-z][\w .()/-]{0,39}|")  # data frames leave the name of the row number empty
_VALUE = re.compile(r"\d{4}|\.(png|jpe?g|dcm|tiff?|txt)$|(\w+\W+){5}", re.IGNORECASE)
_MOST_CLASSES = 100
_NO_NAMES = "the first line does not look like column names"


@dataclass(frozen=True)
class Row:
    """One data row; `number` counts from 1 below the header."""

    number: int
    cells: dict[str, str]
    fault: str | None = None


class Table:
    """A CSV file with a header line. It is read anew for each pass, so that its size does not matter."""

    def __init__(self, path: Path, known: Collection[str] = ()) -> None:
        """`known` are names a header may hold; one that holds none of them is never quoted."""
        if path.is_dir():
            raise CallError(f"{path} is a folder; name the CSV file itself")
        if not path.is_file():
            raise CallError(f"no such file: {path}")
        self.path = path
        self._known = {name.lower() for name in known}
        self.header = self._header()

    @property
    def found(self) -> str:
        """The columns for an error message; not a word of what may be a patient's row instead."""
        if not self._is_named(self.header):
            return f"{_NO_NAMES} ({len(self.header)} columns)"
        more = ["..."] if len(self.header) > 20 else []
        return f"the columns are {', '.join([*self.header[:20], *more])}"

    def require(self, column: str, flag: str) -> None:
        if column not in self.header:
            raise CallError(f"no column `{column}`; {self.found}; name yours with {flag}")

    def optional(self, column: str | None, default: str) -> str | None:
        """The column if one is named, else the one of the default name if there is one."""
        if column is not None:
            self.require(column, f"--{default.replace('_', '-')}")
            return column
        return default if default in self.header else None

    @functools.cached_property
    def length(self) -> int:
        """How many rows there are."""
        return sum(1 for _ in self._lines()) - 1

    def rows(self) -> Iterator[Row]:
        lines = self._lines()
        next(lines)
        for number, cells in enumerate(lines, start=1):
            fault = None
            if len(cells) != len(self.header):
                fault = f"{len(cells)} cells where the header has {len(self.header)}"
            yield Row(number, dict(zip(self.header, cells, strict=False)), fault)

    def _header(self) -> tuple[str, ...]:
        header = tuple(cell.strip() for cell in next(self._lines(), []))
        if not any(header):
            raise CallError(f"{self.path} is empty: a CSV file starts with a line of column names")
        name, count = Counter(header).most_common(1)[0]
        if count > 1 and not self._is_named(header):
            raise CallError(f"{_NO_NAMES} ({len(header)} columns, two of them the same)")
        if count > 1:
            raise CallError(f"the header names column `{name}` {count} times: rename them")
        return header

    def _is_named(self, header: tuple[str, ...]) -> bool:
        """Whether the line looks like names of columns, and not like a row of values."""
        like_names = all(_NAME.fullmatch(cell) and not _VALUE.search(cell) for cell in header)
        values = any(is_sex_or_view(cell) for cell in header)
        return like_names and not values and any(cell.lower() in self._known for cell in header)

    @property
    def _open(self) -> Callable[..., IO[str]]:
        return functools.partial(gzip.open, self.path, "rt") if self.path.suffix == ".gz" else self.path.open

    def _lines(self) -> Iterator[list[str]]:
        """All lines but the blank ones."""
        number = 0
        try:
            with self._open(encoding="utf-8-sig", newline="") as file:
                for cells in filter(None, csv.reader(file)):
                    yield cells
                    number += 1
        except UnicodeDecodeError:
            raise MedistillError(f"{self.path} is not UTF-8: save it as CSV UTF-8") from None
        except csv.Error as error:
            raise MedistillError(
                f"{self.path} cannot be read as CSV after line {number} (an open quote?): {error}"
            ) from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise MedistillError(f"{self.path} is cut short or not gzip: fetch it again") from None
        except OSError as error:
            raise MedistillError(f"{self.path} cannot be read: {error.strerror}") from None


class LabelColumns:
    """The findings a table is labeled with, in lower case. Reads the table once, to know and check them."""

    def __init__(self, table: Table, labels: tuple[str, ...], classes: tuple[str, ...]) -> None:
        self._labels = labels
        self._places = {column: dict[str, int]() for column in classes}  # value -> the first row that has it
        for row in table.rows() if labels or classes else ():
            if row.fault is None:
                self._check(row)
        names = [_name(column) for column in labels]
        names += [value for column in classes for value in sorted(self._places[column])]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise CallError(
                f"{len(twice)} finding(s) are named twice, first by {' and '.join(self._namings(twice[0]))}: "
                "leave one of the columns out"
            )
        self.findings: tuple[str, ...] = tuple(names)

    def of(self, row: Row) -> dict[str, int]:
        """Findings the row states; an empty cell states nothing."""
        stated = {_name(column): _state(row, column) for column in self._labels}
        labels = {finding: state for finding, state in stated.items() if state is not None}
        for column, values in self._places.items():
            if not is_missing(row.cells[column]):
                labels |= {value: int(value == _name(row.cells[column])) for value in values}
        return labels

    def _namings(self, finding: str) -> list[str]:
        """Where the finding is named; not by its name, which may be a cell of a patient's row."""
        labels = [f"label column `{column}`" for column in self._labels if _name(column) == finding]
        classes = [
            f"class column `{column}`, row {rows[finding]}"
            for column, rows in self._places.items()
            if finding in rows
        ]
        return labels + classes

    def _check(self, row: Row) -> None:
        for column in self._labels:
            _state(row, column)
        for column, values in self._places.items():
            if not is_missing(row.cells[column]):
                values.setdefault(_name(row.cells[column]), row.number)
            if len(values) > _MOST_CLASSES:
                raise CallError(
                    f"class column `{column}` has more than {_MOST_CLASSES} different values: not a category"
                )


def _name(cell: str) -> str:
    return cell.strip().lower()


def _state(row: Row, column: str) -> int | None:
    try:
        return label_state(row.cells[column])
    except ValueError as error:
        raise CallError(
            f"label column `{column}`, row {row.number}: {error} (categories go to --classes)"
        ) from None
