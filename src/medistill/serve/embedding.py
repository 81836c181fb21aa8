"""Images through a model in fixed batches, the unreadable ones left out."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from medistill.model.embedder import UnitEmbedder
from medistill.serve.reading import Seen
from medistill.system.isolated import GaveUp

BATCH = 64
"""Images a batch. Its bounds are places in the order of all images, so that a run that was stopped computes
the very same batches again."""


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
