"""One process at a time: locks on files and folders."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from medistill.errors import CallError


def hold(handle: int, out: Path) -> None:
    """Lock an open file for this process; CallError if another holds it, and so is writing `out`."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CallError(f"another run is writing {out}: wait for it, or name another --out") from None
    except OSError:  # a network file system without locks: two runs at once are then the user's own care
        return


@contextmanager
def waited_for(folder: Path) -> Generator[None]:
    """Wait until no other process works on the cell: one whose command was killed may still be saving."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def claimed(run: Path, *, by: bool = True) -> Generator[None]:
    """Keep other processes from training in the same folder; only one rank claims it for all."""
    if not by:
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    handle = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CallError(f"another process is training in {run}; wait for it or give another --out") from error
    finally:
        os.close(handle)
