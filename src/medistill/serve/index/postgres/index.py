"""An index in PostgreSQL with pgvector, for many users of one database."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from uuid import UUID

import numpy as np
from jaxtyping import Float32
from psycopg import Cursor

from medistill.errors import CallError
from medistill.serve.index.about import About
from medistill.serve.index.case import Case, Hit, digest_of
from medistill.serve.index.filters import Filters, Values
from medistill.serve.index.postgres.cases import State, case_by_id, cases_at, read_state, values_in
from medistill.serve.index.postgres.changes import add_table, delete_studies
from medistill.serve.index.postgres.schema import Names, find, make
from medistill.serve.index.postgres.search import Search
from medistill.serve.index.postgres.sessions import Sessions, address_of
from medistill.serve.index.protocol import EVERY, Index, Kind
from medistill.serve.index.query import check_query
from medistill.serve.index.table import EmbeddingTable
from medistill.system.progress import Progress


class PostgresIndex(Index):
    """Every call is one transaction, so it sees what other processes have added and deleted, whole."""

    def __init__(self, sessions: Sessions, names: Names) -> None:
        self._sessions, self._names = sessions, names
        self._values: tuple[UUID | None, Values] = (None, Values())

    @property
    def about(self) -> About:
        with self._sessions.reading() as cursor:
            return read_state(cursor, self._names).about

    @property
    def values(self) -> Values:
        with self._sessions.reading() as cursor:
            return self._values_in(cursor, read_state(cursor, self._names))

    def __len__(self) -> int:
        with self._sessions.reading() as cursor:
            return read_state(cursor, self._names).images

    def search(
        self,
        query: Float32[np.ndarray, " d"],
        k: int,
        *,
        filters: Filters = EVERY,
        per_patient: bool = True,
    ) -> list[Hit]:
        """As the protocol says; up to 20,000 images exactly, beyond that about (docs/search.md)."""
        with self._sessions.reading() as cursor:
            state = read_state(cursor, self._names)
            check_query(query, k, state.about.dim)
            if filters.any:
                filters.check(self._values_in(cursor, state), state.images)
            ranked = Search(cursor, self._names, query, filters).hits(k, state.images, per_patient)
            cases = cases_at(cursor, self._names, state.about.findings, [image.place for image in ranked])
        return [Hit(case=cases[image.place], score=image.score) for image in ranked]

    def case(self, id: str) -> Case | None:  # noqa: A002 - the protocol's name
        digest = digest_of(id)
        if digest is None:
            return None
        with self._sessions.reading() as cursor:
            findings = read_state(cursor, self._names).about.findings
            return case_by_id(cursor, self._names, findings, UUID(bytes=digest))

    def add(self, table: EmbeddingTable, *, on_progress: Progress | None = None) -> int:
        with self._sessions.writing() as cursor:
            add_table(cursor, self._names, table, on_progress)
        return len(table)

    def delete(self, study_ids: Sequence[str]) -> int:
        with self._sessions.writing() as cursor:
            return delete_studies(cursor, self._names, study_ids)

    def close(self) -> None:
        self._sessions.close()

    def _values_in(self, cursor: Cursor, state: State) -> Values:
        """Looked up once for each state of the index."""
        known, values = self._values
        if known != state.stamp:
            values = values_in(cursor, self._names, state.about.findings)
            self._values = state.stamp, values
        return values


def opened(name: str) -> PostgresIndex:
    """The index at that address; CallError if there is none."""
    address = address_of(name)
    with ExitStack() as stack:
        sessions = stack.enter_context(closing(Sessions(address)))
        with sessions.reading() as cursor:
            names = find(cursor, address.schema)
        if names is None:
            raise CallError(
                f"no index in schema {address.schema} of that database; "
                "`medistill index TABLE --out postgresql://...` makes one"
            )
        stack.pop_all()
        return PostgresIndex(sessions, names)


def opened_for(name: str, about: About, kind: Kind | None) -> PostgresIndex:
    """The index at that address, made if there is none, as far as the user's rights go."""
    if kind is not None:
        raise CallError(f"an index in PostgreSQL is of its own kind, not {kind}: leave out --kind")
    address = address_of(name)
    with ExitStack() as stack:
        sessions = stack.enter_context(closing(Sessions(address)))
        with sessions.writing() as cursor:
            names = make(cursor, address.schema, about)
        stack.pop_all()
        return PostgresIndex(sessions, names)
