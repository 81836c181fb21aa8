"""Nearest images in PostgreSQL: all compared where few may be found, else by pgvector's HNSW graph."""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float32
from pgvector import Vector
from psycopg import Cursor, sql

from medistill.serve.index.filters import Filters
from medistill.serve.index.postgres.schema import Names, has_graph
from medistill.serve.index.postgres.sessions import set_locally

LEAST = 20_000
"""Images up to which all are compared: a smaller index has no graph, a filter to fewer does not use it."""
EXPANSION = 200
"""Candidates of a search in the graph (`hnsw.ef_search`): docs/search.md has the figures."""
_FETCHED = 4
"""Images looked at for each hit at first, since a patient has several; so many times more if too few."""
_MOST = 1_000
"""Images beyond which all are compared again; also the most that pgvector takes as candidates."""
_COUNT = "SELECT count(*) FROM (SELECT FROM {image} WHERE {condition} LIMIT %s) AS found"
_ROWS = """
SELECT place, study_id, patient_id, -(vector {times} %s::{vector}) AS score FROM {image} WHERE {condition}
"""
_EXACT = _ROWS + "ORDER BY score DESC, place LIMIT %s"
"""The order is of an expression that the graph is not of, so that no planner takes it."""
_NEAR = _ROWS + "ORDER BY vector {times} %s::{vector} LIMIT %s"


class Ranked(NamedTuple):
    """An image by its place in the index."""

    place: int
    study_id: str
    patient_id: str
    score: float


@dataclass(frozen=True)
class Search:
    """One query in one transaction."""

    cursor: Cursor
    names: Names
    query: Float32[np.ndarray, " d"]
    filters: Filters

    def hits(self, k: int, images: int, per_patient: bool) -> list[Ranked]:
        """The best image of each study, or of each patient; the first k."""
        count, by_graph = min(_FETCHED * k, images), self._is_worth_a_graph(images)
        while True:
            ranked = self._nearest(count, by_graph)
            hits = _distinct(ranked, k, per_patient)
            if len(hits) == k or len(ranked) < count or count == images:
                return hits
            count = min(_FETCHED * count, images)

    def _nearest(self, count: int, by_graph: bool) -> list[Ranked]:
        if by_graph and count <= _MOST:
            ranked = self._by_graph(count)
            if len(ranked) == count:
                return ranked
        # Few may be found, or the graph gave up before it had found so many that may be.
        return self._run(_EXACT, self._vector, count)

    def _by_graph(self, count: int) -> list[Ranked]:
        expansion = str(max(EXPANSION, count))
        set_locally(self.cursor, {"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": expansion})
        # pgvector orders by its own float sums: equal scores come in any order, so they are sorted again.
        ranked = self._run(_NEAR, self._vector, count, again=True)
        return sorted(ranked, key=lambda image: (-image.score, image.place))

    def _is_worth_a_graph(self, images: int) -> bool:
        if images <= LEAST or not has_graph(self.cursor, self.names):
            return False
        if not self.filters.any:
            return True
        where, values = condition(self.filters)
        self.cursor.execute(self.names.fill(_COUNT, condition=where), [*values, LEAST + 1])
        (findable,) = self.cursor.fetchone() or (0,)
        return findable > LEAST

    def _run(self, statement: str, vector: str, count: int, *, again: bool = False) -> list[Ranked]:
        where, values = condition(self.filters)
        given: list[Any] = [vector, *values, *([vector] if again else []), count]
        self.cursor.execute(self.names.fill(statement, condition=where), given)
        return [Ranked(*row) for row in self.cursor]

    @property
    def _vector(self) -> str:
        return Vector(self.query).to_text()


def _distinct(ranked: list[Ranked], k: int, per_patient: bool) -> list[Ranked]:
    seen: dict[str, Ranked] = {}
    for image in ranked:
        seen.setdefault(image.patient_id if per_patient else image.study_id, image)
    return list(seen.values())[:k]


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
