"""Images decoded by worker processes, ahead of the model that embeds them."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from medistill.data.loader.workers import ignore_signals
from medistill.errors import MedistillError

BATCH = 64
"""Images a model is given at once."""
WORTHWHILE = 4 * BATCH
"""Images from which on workers pay for their start."""
_MOST_WORKERS = 8
Prepare = Callable[[np.ndarray], np.ndarray]


def decoded_ahead(
    read: Callable[[int], np.ndarray], rows: Sequence[int], prepare: Prepare | None = None
) -> Iterator[Sequence[np.ndarray]]:
    """The images of these rows in batches of `BATCH`, in order; raises what `read` raises, where it stands.

    read      row number -> 8-bit grey image, (h, w)
    prepare   what the model would do to each image first, such as to fit it into its square
    """
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    source = _Batches(read, batches, prepare)
    if len(rows) < WORTHWHILE:
        made: Any = map(source.__getitem__, range(len(batches)))
    else:
        made = DataLoader(
            source,
            batch_size=None,
            num_workers=min(_cores(), _MOST_WORKERS),
            collate_fn=_unchanged,
            worker_init_fn=ignore_signals,
            generator=torch.Generator().manual_seed(0),  # not the global one, which training draws from
        )
    for batch in made:
        if isinstance(batch, MedistillError):
            raise batch
        yield list(batch.numpy()) if isinstance(batch, torch.Tensor) else batch


class _Batches(Dataset[Any]):
    """Item: a batch of images, as one tensor where they are of one shape: that goes by shared memory."""

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        batches: Sequence[Sequence[int]],
        prepare: Prepare | None,
    ):
        self.read, self.batches, self.prepare = read, batches, prepare

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> torch.Tensor | list[np.ndarray] | MedistillError:
        try:
            images = [self.read(row) for row in self.batches[number]]
        except MedistillError as error:
            return error  # raised in a worker it would come with the worker's traceback in its message
        if self.prepare:
            images = [self.prepare(image) for image in images]
        return torch.from_numpy(np.stack(images)) if len({x.shape for x in images}) == 1 else images


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _unchanged(item: Any) -> Any:
    return item
