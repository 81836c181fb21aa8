"""Filters as a condition in SQL, all values as parameters."""

import json
from typing import Any

import pyarrow as pa
from psycopg import sql

from medistill.serve.index.filters import Filters


def condition(filters: Filters) -> tuple[sql.Composable, list[Any]]:
    """What follows WHERE; what is not stated (null) passes no filter by it."""
    clauses: list[tuple[str, str, Any]] = []
    for column, values in (("view", filters.views), ("sex", filters.sexes), ("source", filters.sources)):
        if values:
            clauses.append((column, "{} = ANY(%s::text[])", list(values)))
    days = filters.days
    for column, form, low, high in (
        ("age", "float8", *map(_as_stored, filters.ages)),
        ("date", "date", *days),
    ):
        if low is not None:
            clauses.append((column, f"{{}} >= %s::{form}", low))
        if high is not None:
            clauses.append((column, f"{{}} <= %s::{form}", high))
    for finding, value in filters.stated:
        clauses.append(("labels", "{} @> %s::jsonb", json.dumps({finding: value})))
    composed = [sql.SQL(form).format(sql.Identifier(column)) for column, form, _ in clauses]  # pyright: ignore
    return sql.SQL(" AND ").join(composed or [sql.SQL("true")]), [value for *_, value in clauses]


def _as_stored(age: float | None) -> float | None:
    """Rounded as the ages in the table are, so that both ends are included."""
    return None if age is None else pa.scalar(age, pa.float32()).as_py()
