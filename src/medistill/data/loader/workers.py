"""Items made by worker processes, in the order asked for, and one result ahead."""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

_AHEAD = 2
"""Items each worker may be ahead of what is taken; they lie in shared memory, which may be small."""
Made = TypeVar("Made")
Result = TypeVar("Result")


class Workers(Generic[Made]):
    """Processes that make what `dataset` holds, from the first item asked for until `close`.

    They are kept from one order of items to the next. With 0 workers this process makes the items itself.
    """

    def __init__(self, dataset: Dataset[Made], *, workers: int, seed: int):
        self.workers = workers
        self._order = _Order()
        self._results: Generator[Any] | None = None
        self._loader: Any = DataLoader(
            dataset,
            batch_size=None,
            sampler=cast(Any, self._order),
            num_workers=workers,
            prefetch_factor=_AHEAD if workers else None,
            persistent_workers=workers > 0,
            collate_fn=_unchanged,  # the default makes lists of tuples
            worker_init_fn=_start,
            # Without its own generator a loader draws from the global one: dropout differs after a resume.
            generator=torch.Generator().manual_seed(seed),
        )

    def results(
        self, items: Iterator[Any], join: Callable[[Iterator[Made]], Generator[Result]]
    ) -> Generator[Result]:
        """What `join` yields of the items made; with workers, each in a thread while the last is in use.

        It ends what was asked for before. There must be no end to `items`: they are made as they are taken.
        """
        self._end_results()
        self._order.items = items
        results = join(iter(self._loader))  # here, not in the thread: the workers are forked from this one
        self._results = _one_ahead(results) if self.workers else results
        return self._results

    def close(self) -> None:
        """End the workers; without it, Python waits for them for ever: they ignore its SIGTERM."""
        try:
            self._end_results()
        finally:
            iterator = self._loader._iterator
            if iterator is not None:
                iterator._shutdown_workers()
                for process in iterator._workers:
                    process.kill()

    def _end_results(self) -> None:
        if self._results:
            self._results.close()  # waits for its thread: what the workers make has one reader at a time
            self._results = None


class _Order:
    """The sampler: what the workers are to make next."""

    items: Iterator[Any] = iter(())

    def __iter__(self) -> Iterator[Any]:
        return self.items


def _one_ahead(results: Generator[Result]) -> Generator[Result]:
    # A deque, not a variable: an error would hold this frame, the frame the future, and the future the error.
    coming: deque[Future[Result]] = deque()
    thread = ThreadPoolExecutor(1)
    try:
        coming.append(thread.submit(next, results))
        while True:
            coming.append(thread.submit(next, results))
            yield coming.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)


def _unchanged(item: Any) -> Any:
    return item


def _start(worker: int) -> None:
    """SIGTERM and Ctrl-C reach the whole group; the training process decides when its workers end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread a worker, as torch sets itself there
