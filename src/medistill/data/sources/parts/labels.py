"""Columns of a table as labels: numbers as they are, categories one-hot."""

from collections import Counter

from medistill.data.sources.parts.cells import is_missing
from medistill.data.sources.parts.table import Row, Table
from medistill.errors import CallError

_MOST_CLASSES = 100


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
    if is_missing(row.cells[column]):
        return None
    try:
        number = float(row.cells[column])
    except ValueError:
        number = 2.0
    if number not in (1, 0, -1):
        raise CallError(
            f"label column `{column}`, row {row.number}: not 1, 0, -1 or empty (categories go to --classes)"
        )
    return int(number)
