"""Images through a model in fixed batches, the unreadable ones left out."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from medistill.data.isolated import GaveUp
from medistill.evaluate.embedder import UnitEmbedder
from medistill.serve.images import Seen

BATCH = 64
"""Images a batch. Its bounds are places in the order of all images, so that a run that was stopped computes
the very same batches again."""

Progress = Callable[[str, int, int | None], None]
"""Told what is done, how much of it, and how much there is."""


class Batch(NamedTuple):
    """A batch as far as it could be read."""

    reasons: list[str]
    """Why each image cannot be read; empty for one that can."""
    readable: Bool[np.ndarray, " n"]
    embeddings: Float32[np.ndarray, "r d"] | None
    """Unit rows of the readable images; None if there are none."""


def embedded(model: UnitEmbedder, images: Iterable[Seen]) -> Iterator[Batch]:
    """The images in batches of `BATCH`, the last one shorter."""
    for batch in _batched(images):
        reasons = [image.reason if isinstance(image, GaveUp) else "" for image in batch]
        read = [image for image in batch if not isinstance(image, GaveUp)]
        rows = model.encode_images(read) if read else None
        yield Batch(reasons, np.array([not reason for reason in reasons], np.bool_), rows)


def _batched(images: Iterable[Seen]) -> Iterator[tuple[Seen, ...]]:
    waiting = iter(images)
    while batch := tuple(itertools.islice(waiting, BATCH)):
        yield batch


def counted(on_progress: Progress | None, stage: str, total: int) -> Callable[[int], None]:
    """To be called with how many more are done."""
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if on_progress:
            on_progress(stage, done, total)

    return tell
