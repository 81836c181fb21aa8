"""From a source to a corpus, the costly part in several processes."""

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from medistill.data.corpus_writer import write_corpus
from medistill.data.sources import Reading, Source
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError

_CHUNK = 8  # units sent to a worker at once: enough to hide the sending, few enough to hold in memory

Items = tuple[Study | Reject, ...]


def prepare(
    source: Source,
    out: Path,
    *,
    workers: int = 1,
    val: float = 0.1,
    test: float = 0.1,
    allow_rejects: bool = False,
    show_paths: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Read a source and write it as a corpus; returns the card. The corpus is the same for any `workers`.

    With more than one worker a script must start its work under `if __name__ == "__main__":`, because
    the processes import it.
    """
    if workers < 1:
        raise CallError(f"--workers is {workers}; at least 1 is needed")
    reading = source.open()
    return write_corpus(
        studies(reading, workers=workers),
        out,
        source=source.name,
        made_with=source.made_with(),
        findings=reading.findings,
        val=val,
        test=test,
        allow_rejects=allow_rejects,
        show_paths=show_paths,
        on_progress=on_progress,
    )


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def studies(reading: Reading, *, workers: int = 1) -> Iterator[Study | Reject]:
    """The studies and rejects of an opened source, in its order."""
    results = map(reading.work, reading.units) if workers == 1 else _in_processes(reading, workers)
    items = itertools.chain.from_iterable(results)
    return items if reading.studies is None else itertools.islice(items, reading.studies)


def _in_processes(reading: Reading, workers: int) -> Iterator[Items]:
    # Not fork: threads of Arrow may hold locks at that moment, and the child would wait for them forever.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupt)
    waiting: deque[Future[list[Items]]] = deque()
    try:
        for chunk in _chunks(reading.units):
            waiting.append(pool.submit(_worked, reading.work, chunk))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise MedistillError("a worker process died, probably for want of memory: try --workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(units: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(units)
    while chunk := list(itertools.islice(remaining, _CHUNK)):
        yield chunk


def _worked(work: Callable[[Any], Items], chunk: Iterable[Any]) -> list[Items]:
    return [work(unit) for unit in chunk]


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the parent, which ends the pool; the workers need not say so too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
