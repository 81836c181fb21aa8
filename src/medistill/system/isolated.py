"""Work on files from outside, in processes with limits on memory and time."""

import atexit
import contextlib
import multiprocessing
import os
import pickle
import resource
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from queue import LifoQueue
from typing import Any, NamedTuple, TypeVar

from medistill.errors import MedistillError

SECONDS = 30.0
"""For one file: a detector's largest image takes two or three on a busy machine."""
MEMORY = 4 * 2**30
"""Bytes a process may take beyond what it started with: ten times what a large radiograph takes."""
TOO_LARGE = f"takes more memory to read than is left, of {MEMORY / 2**30:.0f} GiB at most"
_START_SECONDS = 120.0
"""For a process to start and import what it works with, on a busy machine."""
_STARTS = 3
"""Processes in a row that may end before they have taken a file."""
# Not fork: threads of Arrow may hold locks at that moment, and the child would wait for them forever.
_SPAWN = multiprocessing.get_context("spawn")
U = TypeVar("U")
R = TypeVar("R")


class GaveUp(NamedTuple):
    """Why there is no result."""

    reason: str


class CrashedError(Exception):
    """The process that worked on a file ended by itself, or was killed."""


class NoProcessError(MedistillError):
    """No process can be had to work in: the machine lacks memory, or kills each at once."""


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

    Each has a pipe of its own and one thread at a time, which ends it when its time is over and starts
    another where it is gone. The pools of the standard library, loky and pebble share one queue among their
    processes, are broken as a whole by one that is killed, even while idle, and only pebble's limits time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._processes = [_Process() for _ in range(workers)]
        self._idle: LifoQueue[_Process] = LifoQueue()  # the last used is warm
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(workers)
        atexit.register(self.close)  # they ignore the signal by which multiprocessing would end them

    def __enter__(self) -> "IsolatedPool":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        atexit.unregister(self.close)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.close()
        self._threads.shutdown()

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
        """One unit, for a caller that waits in its own way and then asks `outcome`."""
        return self._threads.submit(self._run, work, unit, seconds)

    def check(self) -> None:
        """NoProcessError unless there are processes; one that died while nobody needed it is replaced."""
        if not self._idle.empty():
            self._run(_nothing, None, SECONDS)

    def _run(self, work: Callable[[U], R], unit: U, seconds: float) -> R | GaveUp:
        process = self._idle.get()
        try:
            return process.run(work, unit, seconds)
        finally:
            self._idle.put(process)


def outcome(future: Future[R | GaveUp], seconds: float = SECONDS) -> R | GaveUp:
    """What came of `IsolatedPool.begin`; NoProcessError if the machine has no process for it."""
    try:
        return future.result()
    except TimeoutError:
        return GaveUp(f"not read within {seconds:.0f} seconds")
    except MemoryError:
        return GaveUp(TOO_LARGE)
    except CrashedError:
        return GaveUp("the process that read it crashed")


def _with_outcome(unit: U, future: Future[R | GaveUp], seconds: float) -> tuple[U, R | GaveUp]:
    return unit, outcome(future, seconds)


def _nothing(unit: None) -> None:
    """Work that shows that a process is there."""


class _Process:
    """One process and the pipe to it; started when it is first needed, and anew when it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # `close` comes from another thread than `run`
        self._process: Any = None
        self._pipe: Connection | None = None
        self._closed = False

    def run(self, work: Callable[[U], R], unit: U, seconds: float) -> R | GaveUp:
        """TimeoutError after so many seconds of work, CrashedError if it kills the process."""
        pickled = pickle.dumps(
            unit, pickle.HIGHEST_PROTOCOL
        )  # what cannot be must not leave the other end waiting
        pipe = self._ready_for(work)
        try:
            pipe.send_bytes(pickled)
            if not pipe.poll(seconds):
                self._end()
                raise TimeoutError
            result, error = pipe.recv()
        except (EOFError, ConnectionError):
            self._end()
            raise CrashedError from None
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """End the process for good."""
        with self._lock:
            self._closed = True
        self._end()

    def _ready_for(self, work: Callable[..., Any]) -> Connection:
        """The pipe to a process that has imported the work: what ends it until then is no file's fault."""
        for _ in range(_STARTS):
            pipe, error = self._started(), None
            try:
                pipe.send(work)
                if pipe.poll(_START_SECONDS):
                    error = pipe.recv()
                    break
            except (EOFError, ConnectionError):
                pass
            self._end()
        else:
            raise NoProcessError("processes that read files end as soon as they start: is there memory left?")
        if error is not None:
            raise error
        return pipe

    def _started(self) -> Connection:
        if self._process is not None and self._pipe is not None and self._process.is_alive():
            return self._pipe
        self._end()
        with self._lock:
            if self._closed:
                raise NoProcessError("the processes that read files have been ended")
            self._pipe, theirs = _SPAWN.Pipe()
            with theirs:  # once it is with the process alone, its end is the end of the pipe
                self._process = _process_with(theirs)
        return self._pipe

    def _end(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.join()
                self._process = None


def _process_with(pipe: Connection) -> Any:
    process = _SPAWN.Process(target=_work_for, args=(pipe,), daemon=True)
    try:
        process.start()
    except OSError as error:
        why = f"no process can be started to read files ({error.strerror})"
        raise NoProcessError(f"{why}: is there memory left?") from None
    return process


def _work_for(pipe: Connection) -> None:
    """What a process does: take a piece of work, then its unit, and answer with a result or an error."""
    _limit_this_process()
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has gone
        while True:
            pickled = pipe.recv_bytes()
            try:
                work = pickle.loads(pickled)
            except Exception as error:  # what it names is not there
                pipe.send(_portable(error))
                continue
            pipe.send(None)
            pipe.send_bytes(_answer(work, pipe.recv_bytes()))


def _answer(work: Callable[[Any], Any], unit: bytes) -> bytes:
    """The result and None, or None and the error."""
    try:
        return pickle.dumps((_attempted(work, pickle.loads(unit)), None), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return pickle.dumps((None, _portable(error)))


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


def _portable(error: Exception) -> Exception:
    """The error with where it was, or one of its name if it cannot be passed between processes."""
    error.add_note(traceback.format_exc())
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(type(error).__name__)


def _limit_this_process() -> None:
    """Beyond the limit, memory is refused. What stops a whole group of processes is the parent's to follow:
    its unread files are not harmful for that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
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
