"""One process at a time: locks on files and folders."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from medistill.errors import CallError


@contextmanager
def locked(path: Path, busy: str | None = None) -> Generator[None]:
    """Hold the lock of a file or folder, which ends with the process whatever kills it.

    busy   the CallError's line if another process holds it; None waits until none does
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CallError(busy or "") from None
        except OSError:
            # A network file system without locks: two runs at once are then the user's own care.
            pass
        yield
    finally:
        os.close(handle)


def own_folder(folder: Path) -> None:
    """Make the hidden folder in which a stopped run goes on; CallError for a link in its place."""
    if folder.is_symlink():
        raise CallError(f"{folder.name} is a link, where a stopped run would go on in a folder: remove it")
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Hold a folder, made if it is not there, while files are written into it; CallError if another does."""
    there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder, being_written(folder)):
            yield
    finally:
        if not there:
            with suppress(OSError):
                folder.rmdir()  # only if nothing came of it


def being_written(out: Path) -> str:
    """The line for a second run of the same output."""
    return f"another run is writing {out}: wait for it, or name another --out"


def being_trained(run: Path) -> str:
    """The line for a second run of the same training."""
    return f"another process is training in {run}; wait for it or give another --out"
