"""Parts of a corpus worked on by several processes, results in order."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from medistill.data.isolated import GaveUp, IsolatedPool
from medistill.errors import MedistillError

Part = TypeVar("Part")
Result = TypeVar("Result")

_IMAGES = 64  # of a part at most


def in_order(work: Callable[[Part], Result], parts: Iterable[Part], workers: int) -> Iterator[Result]:
    """`work` on each part; few results wait at a time, so memory does not grow with the parts."""
    if workers == 1:
        yield from map(work, parts)
        return
    with IsolatedPool(workers) as pool:
        for _, result in pool.map(work, parts, lambda part: _IMAGES):
            if isinstance(result, GaveUp):
                raise MedistillError(f"images of the corpus could not be read: {result.reason}")
            yield result
