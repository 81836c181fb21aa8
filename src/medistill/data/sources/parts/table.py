"""A CSV file read row by row, with errors a person can act on."""

import functools
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medistill.data.sources.parts.cells import is_rounded, is_sex_or_view
from medistill.data.sources.parts.layout import Layout, encoding_of, layout_of
from medistill.data.sources.parts.records import Record, records
from medistill.errors import CallError, MedistillError

_NAME = re.compile(r"[A-Za-z][\w .()/-]{0,39}|")  # data frames leave the name of the row number empty
_VALUE = re.compile(r"\d{4}|\.(png|jpe?g|dcm|tiff?|txt)$|(\w+\W+){5}", re.IGNORECASE)
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
        for number, (cells, fault) in enumerate(lines, start=1):
            if fault is None and len(cells) != len(self.header):
                fault = f"{len(cells)} cells where the header has {len(self.header)}"
            yield Row(number, dict(zip(self.header, cells, strict=False)), fault)

    def _header(self) -> tuple[str, ...]:
        first = next(self._lines(), Record([]))
        header = tuple(cell.strip() for cell in first.cells)
        if first.fault:
            raise CallError(f"the header of {self.path}: {first.fault}")
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

    @functools.cached_property
    def _encoding(self) -> str:
        open_file = gzip.open if self.path.suffix == ".gz" else open
        with open_file(self.path, "rb") as file:
            return encoding_of(file.read(2))

    @functools.cached_property
    def _layout(self) -> Layout:
        try:
            with self._opened() as file:
                return layout_of(file, self._known)
        except CallError as error:
            raise CallError(f"{self.path} cannot be read as CSV: {error}") from None

    def _opened(self) -> io.TextIOWrapper:
        open_file = gzip.open if self.path.suffix == ".gz" else open
        return open_file(self.path, "rt", encoding=self._encoding, newline="")

    def _lines(self) -> Iterator[Record]:
        """All records, the header first."""
        try:
            layout = self._layout
            with self._opened() as file:
                yield from records(itertools.islice(file, layout.skipped, None), layout.separator)
        except UnicodeError:
            raise MedistillError(f"{self.path} is not UTF-8: save it as CSV UTF-8") from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise MedistillError(f"{self.path} is cut short or not gzip: fetch it again") from None
        except OSError as error:
            raise MedistillError(f"{self.path} cannot be read: {error.strerror}") from None


def check_not_rounded(row: Row, columns: Iterable[str], table: Table) -> None:
    """CallError if an id of the row is a number that a spreadsheet has rounded."""
    for column in columns:
        if is_rounded(row.cells.get(column, "")):
            raise CallError(
                f"column `{column}` of {table.path.name}, row {row.number}: an id that a spreadsheet has "
                "rounded, as 1.2E+11: several may now be one; export the table again with this column as text"
            )


def check_ids(table: Table, columns: Iterable[str | None]) -> None:
    """`check_not_rounded` of every row, before any image is read, which may take hours."""
    named = [column for column in columns if column]
    for row in table.rows() if named else ():
        if row.fault is None:
            check_not_rounded(row, named, table)
