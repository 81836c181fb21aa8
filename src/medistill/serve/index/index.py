"""The one protocol behind which all indexes stand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from medistill.errors import CallError
from medistill.serve.embedding import Progress
from medistill.serve.index.about import About
from medistill.serve.index.case import Case, Hit
from medistill.serve.index.filters import Filters, Values
from medistill.serve.index.table import EmbeddingTable

Kind = Literal["exact", "usearch"]
EVERY = Filters()


@runtime_checkable
class Index(Protocol):
    """Cases to search. Searches may run in several threads; one process writes at a time."""

    @property
    def about(self) -> About:
        """The model, and the corpora that were added."""
        ...

    @property
    def values(self) -> Values:
        """What there is to filter by."""
        ...

    def __len__(self) -> int:
        """Images."""
        ...

    def add(self, table: EmbeddingTable, *, on_progress: Progress | None = None) -> int:
        """Take in a table; on the disk when this returns, whole or not at all. How many images it has.

        A study whose id is in the index is replaced. CallError if the table is of another model.
        """
        ...

    def delete(self, study_ids: Sequence[str]) -> int:
        """Remove studies, as durably; how many images went. Unknown ids remove nothing."""
        ...

    def search(
        self,
        query: Float32[np.ndarray, " d"],
        k: int,
        *,
        filters: Filters = EVERY,
        per_patient: bool = True,
    ) -> list[Hit]:
        """The k nearest studies by their best image, best first, equal ones as they were added.

        Fewer where there are no more. CallError for an unknown filter value, a query of another width, k < 1.

        query         unit
        per_patient   of a patient the best study alone
        """
        ...

    def case(self, id: str) -> Case | None:  # noqa: A002 - the contract's name
        """The case of that id; None if there is none."""
        ...

    def close(self) -> None: ...


def open_index(name: str | Path) -> Index:
    """The index in a folder or at a postgresql:// address; CallError if there is none, or it is damaged."""
    if is_address(name):
        return _postgres().opened(str(name))
    from medistill.serve.index.folder import FolderIndex

    return FolderIndex(Path(name))


def index_for(name: str | Path, about: About, kind: Kind | None = None) -> Index:
    """The index of that name, made if there is none for vectors of that model.

    kind   of the index to make, exact if None; CallError if it is there and of another kind
    """
    if is_address(name):
        return _postgres().opened_for(str(name), about, kind)
    from medistill.serve.index.folder import folder_for

    return folder_for(Path(name), about, kind)


def is_address(name: str | Path) -> bool:
    """Whether the name is one of a database; any other is a folder's."""
    return str(name).startswith(("postgresql:", "postgres:"))


def _postgres() -> Any:
    try:
        from medistill.serve.index import postgres
    except ImportError:  # also where psycopg finds no libpq
        raise CallError(
            "an index in PostgreSQL needs packages that are not installed: pip install 'medistill[postgres]'"
        ) from None
    return postgres
