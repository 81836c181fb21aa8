"""What every kind of index does."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float32

from medistill.serve.index.about import About
from medistill.serve.index.case import Case, Hit
from medistill.serve.index.filters import Filters, Values
from medistill.serve.index.table import EmbeddingTable
from medistill.system.progress import Progress

Kind = Literal["exact", "usearch"]
EVERY = Filters()


class Index(ABC):
    """Cases to search. Searches may run in several threads; one process writes at a time."""

    @property
    @abstractmethod
    def about(self) -> About:
        """The model, and the corpora that were added."""

    @property
    @abstractmethod
    def values(self) -> Values:
        """What there is to filter by."""

    @abstractmethod
    def __len__(self) -> int:
        """Images."""

    @abstractmethod
    def add(self, table: EmbeddingTable, *, on_progress: Progress | None = None) -> int:
        """Take in a table; on the disk when this returns, whole or not at all. How many images it has.

        A study whose id is in the index is replaced. CallError if the table is of another model.
        """

    @abstractmethod
    def delete(self, study_ids: Sequence[str]) -> int:
        """Remove studies, as durably; how many images went. Unknown ids remove nothing."""

    @abstractmethod
    def search(
        self,
        query: Float32[np.ndarray, " d"],
        k: int,
        *,
        filters: Filters = EVERY,
        per_patient: bool = True,
    ) -> list[Hit]:
        """The k nearest studies by their best image, best first, equal ones as they were added.

        Fewer where there are no more. QueryError for an unknown filter value, a query of another width,
        k < 1.

        query         unit
        per_patient   of a patient the best study alone
        """

    @abstractmethod
    def case(self, id: str) -> Case | None:  # noqa: A002 - the contract's name
        """The case of that id; None if there is none."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections and files."""
