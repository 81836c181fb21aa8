"""The parts of an index that were in force at one moment, and the search in them."""

import functools
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float32

from medistill.serve.index.case import Case, Hit, digest_of
from medistill.serve.index.filters import Filters, Values, matching, values_of
from medistill.serve.index.folder.account import Account
from medistill.serve.index.folder.nearest import Nearest
from medistill.serve.index.folder.part import Part
from medistill.serve.index.query import check_query

_FETCHED = 4
"""Images looked at for each hit at first, since a patient has several; so many times more if too few."""
_KEPT = 8
"""Filters whose rows are remembered, a byte an image each: one filter serves many searches."""


class Snapshot:
    """Immutable, so that any number of threads may search it."""

    def __init__(self, account: Account, parts: Sequence[Part], kind: Nearest) -> None:
        self.account, self.parts, self._kind = account, tuple(parts), kind
        self._matching = functools.lru_cache(maxsize=_KEPT)(self._matched)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @cached_property
    def values(self) -> Values:
        return values_of([part.cases for part in self.parts], self.account.about.findings)

    def case(self, name: str) -> Case | None:
        """The case of that id."""
        digest = digest_of(name)
        if digest is None:
            return None
        for part in self.parts:
            if (row := part.row_of(digest)) is not None:
                return part.case(row)
        return None

    def search(
        self, query: Float32[np.ndarray, " d"], k: int, *, filters: Filters, per_patient: bool
    ) -> list[Hit]:
        """As `Index.search`."""
        check_query(query, k, self.account.about.dim)
        allowed = self._allowed(filters)
        count = _FETCHED * k
        while True:
            ranked = self._nearest(query, count, allowed)
            hits = self._distinct(ranked, k, per_patient)
            if len(hits) == k or len(ranked) < count:
                return [Hit(case=self.parts[p].case(row), score=score) for p, row, score in hits]
            count *= _FETCHED  # a few patients with many images each have hidden the others

    def _allowed(self, filters: Filters) -> list[np.ndarray] | None:
        """Of each part, which rows may be found, as booleans; None for all."""
        if not filters.any:
            return None
        filters.check(self.values, len(self))
        return self._matching(filters)

    def _matched(self, filters: Filters) -> list[np.ndarray]:
        return [matching(filters, part.cases) for part in self.parts]

    def _nearest(
        self, query: np.ndarray, count: int, allowed: list[np.ndarray] | None
    ) -> list[tuple[int, int, float]]:
        """The best `count` images as part, row and cosine; fewer if there are no more."""
        images: list[tuple[int, int, float]] = []
        for place, part in enumerate(self.parts):
            rows, scores = self._kind.nearest(part, query, count, allowed[place] if allowed else None)
            images += [(place, row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True)]
        # Sorting is stable: of equal cosines the image that was added first comes first.
        return sorted(images, key=lambda image: -image[2])[:count]

    def _distinct(
        self, ranked: list[tuple[int, int, float]], k: int, per_patient: bool
    ) -> list[tuple[int, int, float]]:
        """The best image of each study, and of each patient if asked; the first k."""
        hits: list[tuple[int, int, float]] = []
        seen: set[str] = set()
        name = "patient_id" if per_patient else "study_id"
        for place, row, score in ranked:
            whose = self.parts[place].cell(name, row)
            if whose not in seen:
                seen.add(whose)
                hits.append((place, row, score))
                if len(hits) == k:
                    break
        return hits
