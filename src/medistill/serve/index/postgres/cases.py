"""Cases of an index in PostgreSQL, and what there is to filter them by."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from medistill.errors import CallError
from medistill.serve.index.about import About, about_from_json
from medistill.serve.index.case import Case, case_of
from medistill.serve.index.filters import Values
from medistill.serve.index.postgres.schema import Names

_COLUMNS = 'place, id, study_id, patient_id, split, view, sex, age, date, source, text, labels, "row"'
_AT = f"SELECT {_COLUMNS} FROM {{image}} WHERE place = ANY(%s::bigint[])"
_OF = f"SELECT {_COLUMNS} FROM {{image}} WHERE id = %s"
# From each value to the next one by the column's B-tree: DISTINCT would read all rows.
_VALUES = """
WITH RECURSIVE found (value) AS (
    SELECT min({column}) FROM {image}
    UNION ALL
    SELECT (SELECT min({column}) FROM {image} WHERE {column} > value) FROM found WHERE value IS NOT NULL
)
SELECT value FROM found WHERE value IS NOT NULL
"""
_READ = "SELECT told, images, state FROM {about}"
_LOCK = _READ + " FOR UPDATE NOWAIT"
_WRITE = "UPDATE {about} SET told = %s, images = %s, state = gen_random_uuid()"


def cases_at(cursor: Cursor, names: Names, findings: Sequence[str], places: Sequence[int]) -> dict[int, Case]:
    """The cases at these places."""
    return _cases(cursor, names, findings, _AT, list(places))


def case_by_id(cursor: Cursor, names: Names, findings: Sequence[str], name: UUID) -> Case | None:
    """The case of that id."""
    return next(iter(_cases(cursor, names, findings, _OF, name).values()), None)


def values_in(cursor: Cursor, names: Names, findings: Sequence[str]) -> Values:
    """What there is in the index, each in the order of its characters' numbers."""

    def distinct(column: str) -> tuple[str, ...]:
        cursor.execute(names.fill(_VALUES, column=sql.Identifier(column)))
        return tuple(value for (value,) in cursor)

    views, sexes, sources = map(distinct, ("view", "sex", "source"))
    return Values(views=views, sexes=sexes, sources=sources, findings=tuple(findings))


def _cases(
    cursor: Cursor, names: Names, findings: Sequence[str], statement: str, given: Any
) -> dict[int, Case]:
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        rows.execute(names.fill(statement), [given])
        return {cells.pop("place"): case_of(cells, cells["id"].hex, findings) for cells in rows}


@dataclass(frozen=True)
class State:
    """Every change gives another stamp."""

    about: About
    images: int
    stamp: UUID


def read_state(cursor: Cursor, names: Names) -> State:
    return _state(cursor, names, _READ)


def lock_state(cursor: Cursor, names: Names) -> State:
    """The newest; nobody else can change it before this transaction ends. LockNotAvailable if somebody is."""
    return _state(cursor, names, _LOCK)


def write_state(cursor: Cursor, names: Names, about: About, images: int) -> None:
    cursor.execute(names.fill(_WRITE), [json.dumps(about.as_json()), images])


def _state(cursor: Cursor, names: Names, statement: str) -> State:
    try:
        ((about, images, stamp),) = cursor.execute(names.fill(statement))
        return State(about_from_json(json.loads(about)), images, stamp)
    except (KeyError, TypeError, ValueError):
        raise CallError(f"the index in schema {names.schema} is damaged: make another") from None
