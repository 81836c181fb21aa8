"""Nearest rows of a part: by all cosines, or by a graph (HNSW of usearch) for a million images."""

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from medistill.errors import CallError
from medistill.serve.index.folder.part import Part, damaged, verified
from medistill.serve.index.protocol import Kind
from medistill.system.atomic import sync_file, sync_folder
from medistill.system.checksums import add_sums, checked_file
from medistill.system.progress import Progress

_GATHERED = 4
"""Where fewer than one row in so many may be found, only those are multiplied."""
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 64, 1024
"""Neighbors of a node, and candidates while it is added and searched for: docs/search.md has the figures."""
_GRAPH, _KEYS = "graph.usearch", "keys.i64"
_LEAST = 20_000
"""Rows up to which comparing all is as fast: a part with fewer has no graph, a filter to fewer needs none."""
_MOST = 4_096
"""Candidates beyond which comparing all is faster than asking the graph for so many."""
_REBUILT = 0.2
"""Share of a graph's rows that may be deleted before it is built anew."""
_AT_ONCE = 10_000


class Ranked(NamedTuple):
    """Rows of a part by falling cosine, equal ones in their order."""

    rows: Int[np.ndarray, " m"]
    scores: Float32[np.ndarray, " m"]


def kind_of(name: Kind) -> "Nearest":
    """CallError if the kind needs a package that is not installed."""
    return Nearest() if name == "exact" else Graph()


class Nearest:
    """Of all rows compared: the default, right always and fast enough up to some hundred thousand images."""

    def open(self, part: Part) -> None:
        """Make a part ready to be searched; once, before any `nearest`."""

    def build(self, part: Part, on_progress: Progress | None) -> None:
        """Write into a new part's folder what it needs beside its vectors; on the disk when this returns."""

    def inherit(self, part: Part, old: Part, kept: Bool[np.ndarray, " n"]) -> bool:
        """Take over what serves for a part of these rows of an open one; False if it has to be built."""
        return True

    def nearest(
        self, part: Part, query: Float32[np.ndarray, " d"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> Ranked:
        """The best `count` of the allowed rows; fewer if there are no more."""
        if allowed is None:
            return best(np.arange(len(part)), part.vectors @ query, count)
        rows = np.flatnonzero(allowed)
        if len(rows) * _GATHERED < len(part):
            return best(rows, part.vectors[rows] @ query, count)
        return best(rows, (part.vectors @ query)[rows], count)


class Graph(Nearest):
    """Of float16 vectors, memory-mapped. Rows are missed now and then; their cosines are of float32."""

    def __init__(self) -> None:
        _library()  # missed before anything is written
        self._opened: dict[Path, tuple[Any, Int[np.ndarray, " n"] | None]] = {}
        """Graphs, and the node of each row where some nodes are of deleted rows."""

    def open(self, part: Part) -> None:
        if (part.folder / _GRAPH).is_file():
            self._opened[part.folder] = _mapped(part)

    def build(self, part: Part, on_progress: Progress | None) -> None:
        if len(part) < _LEAST:
            return
        graph, total = _new(part.vectors.shape[1]), len(part)
        for start in range(0, total, _AT_ONCE):
            end = min(start + _AT_ONCE, total)
            graph.add(np.arange(start, end), part.vectors[start:end])
            if on_progress:
                on_progress("building the graph", end, total)
        graph.save(os.fspath(part.folder / _GRAPH))
        sync_file(part.folder / _GRAPH)
        add_sums(part.folder, _GRAPH)
        sync_folder(part.folder)

    def inherit(self, part: Part, old: Part, kept: Bool[np.ndarray, " n"]) -> bool:
        """The graph stays the same file; `keys` says which of its nodes each row is, in rising order."""
        graph, keys = self._opened.get(old.folder, (None, None))
        if graph is None or len(part) < max(_LEAST, (1 - _REBUILT) * len(graph)):
            return False
        keys = np.flatnonzero(kept) if keys is None else keys[kept]
        with checked_file(part.folder / _KEYS) as file:
            file.write(keys.astype("<i8").data)
        try:
            os.link(old.folder / _GRAPH, part.folder / _GRAPH)
        except OSError:  # a file system without links
            shutil.copyfile(old.folder / _GRAPH, part.folder / _GRAPH)
            sync_file(part.folder / _GRAPH)
        add_sums(part.folder, _GRAPH)
        sync_folder(part.folder)
        return True

    def nearest(
        self, part: Part, query: Float32[np.ndarray, " d"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> Ranked:
        """About the best `count` of the allowed rows, all of them if there are no more."""
        findable = len(part) if allowed is None else int(np.count_nonzero(allowed))
        if findable <= _LEAST or count >= findable or part.folder not in self._opened:
            return super().nearest(part, query, count, allowed)
        graph, keys = self._opened[part.folder]
        candidates = int(count * len(graph) / findable) + 1
        while candidates <= _MOST:
            rows = _rows(graph.search(query, candidates, threads=1).keys, keys)
            rows = rows if allowed is None else rows[allowed[rows]]
            if len(rows) >= count:
                rows.sort()  # the vectors are on the disk: read in their order
                return best(rows, part.vectors[rows] @ query, count)
            candidates *= 2
        return super().nearest(part, query, count, allowed)


def best(rows: Int[np.ndarray, " n"], scores: Float32[np.ndarray, " n"], count: int) -> Ranked:
    """The `count` best of them, equal ones in the order of the rows, also where the cut falls among them."""
    if count < len(rows):
        # Every row as good as the last to be taken: numpy's partition keeps any of them.
        worst = np.partition(scores, len(scores) - count)[len(scores) - count]
        places = np.flatnonzero(scores >= worst)
    else:
        places = np.arange(len(rows))
    order = np.lexsort((rows[places], -scores[places]))[:count]
    return Ranked(rows[places][order], scores[places][order])


def _library() -> Any:
    try:
        from usearch.index import Index
    except ImportError:
        raise CallError(
            "an index of kind usearch needs a package that is not installed: pip install 'medistill[search]'"
        ) from None
    return Index


def _new(dim: int) -> Any:
    return _library()(
        ndim=dim,
        metric="ip",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
        enable_key_lookups=False,  # nothing is removed from a graph, and they take memory
    )


def _mapped(part: Part) -> tuple[Any, Int[np.ndarray, " n"] | None]:
    dim, path = part.vectors.shape[1], part.folder / _KEYS
    graph = _new(dim)
    for name in (_GRAPH, *([_KEYS] if path.is_file() else ())):
        verified(part.folder, name)
    try:
        graph.view(os.fspath(part.folder / _GRAPH))
    except RuntimeError:  # what usearch raises for a file that is missing, cut short or not its own
        raise damaged(part.folder.parent, f"{_GRAPH} of {part.folder.name} cannot be read") from None
    keys = np.fromfile(path, "<i8") if path.is_file() else None
    if graph.ndim != dim or len(part) != (len(graph) if keys is None else len(keys)):
        raise damaged(part.folder.parent, f"{_GRAPH} of {part.folder.name} is of other vectors")
    return graph, keys


def _rows(nodes: np.ndarray, keys: Int[np.ndarray, " n"] | None) -> Int[np.ndarray, " m"]:
    """The rows that these nodes are, but those of deleted ones."""
    nodes = nodes.astype(np.int64)
    if keys is None:
        return nodes
    rows = np.minimum(np.searchsorted(keys, nodes), len(keys) - 1)
    return rows[keys[rows] == nodes]
