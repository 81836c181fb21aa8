"""Nearest rows by all cosines: one product of the memory-mapped vectors with the query."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from medistill.serve.index.folder.part import Part
from medistill.system.progress import Progress

_GATHERED = 4
"""Where fewer than one row in so many may be found, only those are multiplied."""


class Ranked(NamedTuple):
    """Rows of a part by falling cosine, equal ones in their order."""

    rows: Int[np.ndarray, " m"]
    scores: Float32[np.ndarray, " m"]


class Exact:
    """The default kind: right always, and fast enough up to some hundred thousand images."""

    def open(self, part: Part) -> None:
        """It is mapped."""

    def build(self, part: Part, on_progress: Progress | None) -> None:
        """Nothing beside the vectors is needed."""

    def inherit(self, part: Part, old: Part, kept: Bool[np.ndarray, " n"]) -> bool:
        return True

    def nearest(
        self, part: Part, query: Float32[np.ndarray, " d"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> Ranked:
        """The best `count` of the allowed rows; fewer if there are no more."""
        return all_compared(part, query, count, allowed)


def all_compared(
    part: Part, query: Float32[np.ndarray, " d"], count: int, allowed: Bool[np.ndarray, " n"] | None
) -> Ranked:
    """The best `count` rows by comparing every one that is allowed."""
    if allowed is None:
        return best(np.arange(len(part)), part.vectors @ query, count)
    rows = np.flatnonzero(allowed)
    if len(rows) * _GATHERED < len(part):
        return best(rows, part.vectors[rows] @ query, count)
    return best(rows, (part.vectors @ query)[rows], count)


def best(rows: Int[np.ndarray, " n"], scores: Float32[np.ndarray, " n"], count: int) -> Ranked:
    """The `count` best of them, equal ones in the order of the rows, also where the cut falls among them."""
    if count < len(rows):
        worst = np.partition(scores, len(scores) - count)[len(scores) - count]
        places = np.flatnonzero(scores >= worst)
    else:
        places = np.arange(len(rows))
    order = np.lexsort((rows[places], -scores[places]))[:count]
    return Ranked(rows[places][order], scores[places][order])
