"""Nearest rows by a graph (HNSW of usearch) over float16 vectors, memory-mapped; for a million images."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int

from medistill.errors import CallError
from medistill.serve.index.folder.exact import Ranked, all_compared, best
from medistill.serve.index.folder.part import Part, damaged
from medistill.system.atomic import atomic_file, sync_file, sync_folder
from medistill.system.progress import Progress

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


class Graph:
    """Approximate: rows are missed now and then. Their cosines are those of the float32 vectors."""

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
        sync_folder(part.folder)

    def inherit(self, part: Part, old: Part, kept: Bool[np.ndarray, " n"]) -> bool:
        """The graph stays the same file; `keys` says which of its nodes each row is, in rising order."""
        graph, keys = self._opened.get(old.folder, (None, None))
        if graph is None or len(part) < max(_LEAST, (1 - _REBUILT) * len(graph)):
            return False
        keys = np.flatnonzero(kept) if keys is None else keys[kept]
        with atomic_file(part.folder / _KEYS) as file:
            file.write(keys.astype("<i8").data)
        try:
            os.link(old.folder / _GRAPH, part.folder / _GRAPH)
        except OSError:  # a file system without links
            shutil.copyfile(old.folder / _GRAPH, part.folder / _GRAPH)
            sync_file(part.folder / _GRAPH)
        sync_folder(part.folder)
        return True

    def nearest(
        self, part: Part, query: Float32[np.ndarray, " d"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> Ranked:
        """About the best `count` of the allowed rows, all of them if there are no more."""
        findable = len(part) if allowed is None else int(np.count_nonzero(allowed))
        if findable <= _LEAST or count >= findable or part.folder not in self._opened:
            return all_compared(part, query, count, allowed)
        graph, keys = self._opened[part.folder]
        asked = int(count * len(graph) / findable) + 1
        while asked <= _MOST:
            rows = _rows(graph.search(query, asked, threads=1).keys, keys)
            rows = rows if allowed is None else rows[allowed[rows]]
            if len(rows) >= count:
                rows.sort()
                return best(rows, part.vectors[rows] @ query, count)
            asked *= 2
        return all_compared(part, query, count, allowed)


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
