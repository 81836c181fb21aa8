"""The records of a CSV text, one stray quotation mark costing one of them."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

LONGEST = 131_072
"""Characters of a cell that is still read, csv's own limit: no report is as long."""
_FARTHEST = 16_000_000
"""Characters in which a cell that was opened must end."""
TOO_LONG = f"a cell of more than {LONGEST:,} characters"
UNPROVEN = "a quotation mark opens a cell that does not end as a quoted cell does: quote it whole"
# csv would end the whole file at a long cell; the limit is the process's, and only ever raised.
csv.field_size_limit(max(csv.field_size_limit(), 2 * _FARTHEST))

_FILE = re.compile(r"\S.*\.(png|jpe?g|dcm|dicom|tiff?|bmp|nii|gz|txt|xml)", re.IGNORECASE)
_NUMBER, _DATE = re.compile(r"\d+([.,]\d+)?"), re.compile(r"\d{1,4}([-/.:T ]\d{1,4}){2,5}")
_CODE = re.compile(r"(?=\D*\d)\S+")


class Record(NamedTuple):
    """The cells of a record; of a broken one those before the break, and the reason."""

    cells: list[str]
    fault: str | None = None


def records(lines: Iterable[str], separator: str = ",") -> Iterator[Record]:
    """Every record but blank lines; the first says how many cells each must have.

    A record with quotation marks is taken only if they pair as they must; one of several lines only if it has
    as many cells as the first one and no line in it could be a record of its own. Otherwise it is one broken
    record of one line, and the lines below are read anew; those that are no record, up to the next one that
    is, go with it.

    lines   with their ends, as a file opened with `newline=""` gives them
    """
    ahead = _Lines(lines)
    reader, width = csv.reader(ahead, delimiter=separator), 0
    opened: list[str] | None = None  # the cells before the break, while its remains are passed over
    while True:
        taken = ahead.begin()
        try:
            cells = next(reader, None)
        except csv.Error:  # one line larger than all limits
            cells, taken[1:] = ["x" * (LONGEST + 1)], []
        if cells is None:
            return
        if not cells:
            continue
        if '"' in taken[0] and not _is_proven(taken, cells, width, separator):
            ahead.give_back(taken[1:])
            reader = csv.reader(ahead, delimiter=separator)
            before = _before_the_break(taken[0], separator)
            if not opened or before:
                yield Record(before, UNPROVEN)
            opened = before
        elif opened is not None and len(cells) != width and not _resembles(cells, opened):
            continue
        else:
            opened, width = None, width or len(cells)
            yield Record(cells, TOO_LONG) if _is_too_long(taken, cells) else Record(cells)


class _Lines:
    """Lines that can be given back, with those taken for the record at hand."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._returned: deque[str] = deque()
        self.begin()

    def begin(self) -> list[str]:
        """The lines of a new record, which fill up as it is read."""
        self._taken: list[str] = []
        self._left = _FARTHEST
        return self._taken

    def give_back(self, lines: Sequence[str]) -> None:
        self._returned.extendleft(reversed(lines))

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._left <= 0:
            raise StopIteration  # csv takes it for the end of the file, and the record as unfinished
        line = self._returned.popleft() if self._returned else next(self._lines)
        self._taken.append(line)
        self._left -= len(line)
        return line


def _is_proven(lines: list[str], cells: list[str], width: int, separator: str) -> bool:
    """Whether a record with marks is one, and not rows that a stray mark holds together, or a part of one."""
    closed = re.compile(rf'"[ ]+(?=[{re.escape(separator)}\r\n]|$)')  # blanks behind a mark do no harm
    try:
        next(csv.reader([closed.sub('"', line) for line in lines], delimiter=separator, strict=True))
    except csv.Error:
        return False
    if len(lines) == 1:
        return True
    if width and len(cells) != width:  # well quoted, but for the number of cells
        return all(len(_alone(line, separator)) != width for line in lines[1:])
    return not _could_be_rows(lines, cells, separator)


def _could_be_rows(lines: list[str], cells: list[str], separator: str) -> bool:
    """Whether a line of a record could be a record of its own, by the cells that stand on one line.

    Cells before the one of several lines are seen anew in the row that it swallowed last, cells behind it in
    the row it began in.
    """
    spans = [place for place, cell in enumerate(cells) if "\n" in cell or "\r" in cell]
    known = ["" if place in spans else cell for place, cell in enumerate(cells)]
    head, tail = known[: spans[0]], [""] * spans[-1] + known[spans[-1] :]
    seen = [(_alone(line, separator), known) for line in lines[1:-1]]
    seen += [(_alone(lines[-1], separator), head)] if head else []
    seen += [(_alone(lines[0].replace('"', ""), separator), tail)] if spans[-1] < len(cells) - 1 else []
    if not any(map(_shape, known)):  # words alone: prose has blanks behind its commas, or none at all
        return bool(seen) and all(len(alone) == len(cells) > 1 and _is_tight(alone) for alone, _ in seen)
    return any(len(alone) == len(cells) and _resembles(alone, other) for alone, other in seen)


def _alone(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _before_the_break(line: str, separator: str) -> list[str]:
    """The cells of the line a broken record begins with, but the open one."""
    return _alone(line, separator)[:-1]


def _is_too_long(lines: list[str], cells: list[str]) -> bool:
    long = len(lines[0]) > LONGEST or (len(lines) > 1 and sum(map(len, lines)) > LONGEST)
    return long and max(map(len, cells)) > LONGEST


def _resembles(cells: Sequence[str], known: Sequence[str]) -> bool:
    """Whether what is a file, a number, a date or a code in the one is such a thing in the other too."""
    shapes = [
        (shape, _shape(cell)) for cell, other in zip(cells, known, strict=False) if (shape := _shape(other))
    ]
    return bool(shapes) and all(one == other for one, other in shapes)


def _is_tight(cells: Sequence[str]) -> bool:
    return not any(cell.startswith(" ") for cell in cells)


def _shape(cell: str) -> str:
    """What a cell looks like; nothing for words and for an empty one."""
    if _NUMBER.fullmatch(cell):
        return "number"
    if _DATE.fullmatch(cell):
        return "date"
    if _FILE.fullmatch(cell):
        return "file"
    if not _CODE.fullmatch(cell):
        return ""
    marks = re.sub(r"[^\W_]+", "w", cell)
    short = marks == "w" and len(cell) <= 8  # P12 and L2, unlike digests, which begin with anything
    return re.sub(r"\d+", "0", re.sub(r"[^\W\d_]+", "a", cell)) if short else marks
