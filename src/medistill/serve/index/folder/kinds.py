"""The kinds of index that a folder may hold."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32

from medistill.serve.index.folder.exact import Exact, Ranked
from medistill.serve.index.folder.part import Part
from medistill.serve.index.protocol import Kind
from medistill.system.progress import Progress


@runtime_checkable
class Nearest(Protocol):
    """How the nearest rows of a part are found; its files lie in the part's folder."""

    def open(self, part: Part) -> None:
        """Make a part ready to be searched; once, before any `nearest`."""
        ...

    def build(self, part: Part, on_progress: Progress | None) -> None:
        """Write what a new part needs; on the disk when this returns."""
        ...

    def inherit(self, part: Part, old: Part, kept: Bool[np.ndarray, " n"]) -> bool:
        """Take over what serves for a part of these rows of an open one; False if it has to be built."""
        ...

    def nearest(
        self, part: Part, query: Float32[np.ndarray, " d"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> Ranked:
        """The best `count` of the allowed rows; fewer if there are no more."""
        ...


def kind_of(name: Kind) -> Nearest:
    """CallError if the kind needs a package that is not installed."""
    if name == "exact":
        return Exact()
    from medistill.serve.index.folder.graph import Graph

    return Graph()
