"""Columns of a table as labels."""

from collections import Counter

from medistill.data.sources.parts.cells import is_no_category, label_state
from medistill.data.sources.parts.table import Row, Table
from medistill.errors import CallError

_MOST_CLASSES = 100
_BETWEEN = "|;,/+"
"""What often stands between the categories of one cell."""


class LabelColumns:
    """The findings a table is labeled with, in lower case. Reads the table once, to know and check them."""

    def __init__(
        self, table: Table, labels: tuple[str, ...], classes: tuple[str, ...], separator: str | None = None
    ) -> None:
        """`separator` stands between the categories of a cell that names several."""
        self._labels, self._separator = labels, separator
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
            if named := self._categories(row, column):
                labels |= {value: int(value in named) for value in values}
        return labels

    def _categories(self, row: Row, column: str) -> list[str]:
        """The categories the cell names; none if it is empty."""
        parts = row.cells[column].split(self._separator) if self._separator else [row.cells[column]]
        return [_name(part) for part in parts if not is_no_category(part)]

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
            for name in self._categories(row, column):
                values.setdefault(name, row.number)
            if len(values) > _MOST_CLASSES:
                raise CallError(
                    f"class column `{column}` has more than {_MOST_CLASSES} different values: not a category"
                    f"{self._hint(row.cells[column])}"
                )

    def _hint(self, cell: str) -> str:
        """What to do where a cell seems to name several categories."""
        mark = next((mark for mark in _BETWEEN if mark in cell and not self._separator), None)
        return (
            f"; cells that name several, as A{mark}B, are split by --classes-separator '{mark}'"
            if mark
            else ""
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
