"""Work on files from outside, in processes with limits on memory and time."""

import contextlib
import multiprocessing
import os
import resource
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, TypeVar

from pebble import ProcessExpired, ProcessPool

from medistill.errors import MedistillError

SECONDS = 30.0
"""For one file: a detector's largest image takes two or three on a busy machine."""
MEMORY = 4 * 2**30
"""Bytes a process may take beyond what it started with: ten times what a large radiograph takes."""
TOO_LARGE = f"takes more memory to read than is left, of {MEMORY / 2**30:.0f} GiB at most"
U = TypeVar("U")
R = TypeVar("R")


class GaveUp(NamedTuple):
    """Why there is no result."""

    reason: str


@contextlib.contextmanager
def decoding() -> Generator[None]:
    """Whatever a decoder raises is a MedistillError of one line; memory that runs out stays MemoryError.

    What the decoder says is left out: it may quote the file. Panics of Rust are no Exception.
    """
    try:
        yield
    except (MedistillError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise MedistillError(_unforeseen(error)) from error


def _unforeseen(error: BaseException) -> str:
    return f"cannot be read: its decoder failed with {type(error).__name__}"


class IsolatedPool:
    """Processes that a file can crash, fill or keep busy without harm to the work on any other.

    Pebble ends a process that is over its time and replaces one that died; the standard library's pool is
    broken by the first.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        # Not fork: threads of Arrow may hold locks at that moment, and the child would wait for them forever.
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(workers, context=spawn, initializer=_limit_this_process)

    def __enter__(self) -> "IsolatedPool":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._pool.stop()  # of work that nobody waits for any more
        self._pool.join()

    def map(
        self, work: Callable[[U], R], units: Iterable[U], files: Callable[[U], int] = lambda unit: 1
    ) -> Iterator[tuple[U, R | GaveUp]]:
        """Each unit with what `work` makes of it, in order; few are held at a time.

        files   how many files a unit is made of: the time it may take.
        """
        waiting: deque[tuple[U, Future[R | GaveUp], float]] = deque()
        for unit in units:
            seconds = SECONDS * max(1, files(unit))
            waiting.append((unit, self.begin(work, unit, seconds), seconds))
            if len(waiting) > 4 * self._workers:
                yield _with_outcome(*waiting.popleft())
        while waiting:
            yield _with_outcome(*waiting.popleft())

    def begin(self, work: Callable[[U], R], unit: U, seconds: float = SECONDS) -> Future[R | GaveUp]:
        """One unit, for a caller that waits in its own way and then asks `outcome`; cancelling ends it."""
        return self._pool.schedule(_attempted, args=(work, unit), timeout=seconds)


def outcome(future: Future[R | GaveUp], seconds: float = SECONDS) -> R | GaveUp:
    """What came of `IsolatedPool.begin`."""
    try:
        return future.result()
    except TimeoutError:
        return GaveUp(f"not read within {seconds:.0f} seconds")
    except MemoryError:
        return GaveUp(TOO_LARGE)
    except ProcessExpired:
        return GaveUp("the process that read it crashed")


def _attempted(work: Callable[[U], R], unit: U) -> R | GaveUp:
    """What `work` makes of a unit, in its process. What it did not foresee costs that unit alone.

    Raised in the parent it would end the whole; and not every error can be sent there.
    """
    try:
        return work(unit)
    except (MedistillError, MemoryError):
        raise
    except BaseException as error:
        return GaveUp(_unforeseen(error))


def _with_outcome(unit: U, future: Future[R | GaveUp], seconds: float) -> tuple[U, R | GaveUp]:
    return unit, outcome(future, seconds)


def _limit_this_process() -> None:
    """Ctrl-C reaches the parent, which ends the pool; beyond the limit, memory is refused."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit's name and refuses to set it
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _address_space() -> int:
    """Bytes this process has reserved, used or not; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[0]) * resource.getpagesize() if status.is_file() else 0


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
