"""Files that are either whole or absent, whatever kills the process."""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from medistill.errors import CallError
from medistill.system.files import naming
from medistill.system.locks import being_written

_PARTIAL = ".partial"


@contextmanager
def atomic_file(path: Path) -> Generator[IO[bytes]]:
    """A binary file that takes the place of `path` once written and synced; an error leaves the old one."""
    with partial_file(path) as (partial, file):
        yield file
        _sync(file)
        partial.replace(path)
    sync_folder(path.parent)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) through `atomic_file`."""
    with atomic_file(path) as file:
        file.write(as_bytes(content))


def write_together(
    folder: Path, contents: Mapping[str, str | bytes], before: Callable[[], None] | None = None
) -> None:
    """Replace some files of a folder once all of them are written and synced; an error leaves the old ones.

    The last is gone while the others are replaced: a kill then leaves no old one beside new ones.

    before   called when all are written and none is replaced
    """
    *_, last = contents
    with ExitStack() as stack:
        partials: dict[str, Path] = {}
        for name, content in contents.items():
            partials[name], file = stack.enter_context(partial_file(folder / name))
            file.write(as_bytes(content))
            _sync(file)
        if before:
            before()
        (folder / last).unlink(missing_ok=True)
        for name, partial in partials.items():
            partial.replace(folder / name)
    sync_folder(folder)


def as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


@contextmanager
def partial_file(path: Path) -> Generator[tuple[Path, IO[bytes]]]:
    """A new file beside `path` and of this process alone; gone at the end, unless it has been renamed.

    Held by a lock, which tells it from what a kill left: that is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path, folders=False)
    partial, handle = _new(path, lambda name: os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            yield partial, file
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Generator[Path]:
    """An empty folder that takes the name `path` once filled and synced; an error leaves nothing.

    CallError if `path` is there already, or another process is at it. What a killed call left behind is
    removed by the next one.
    """
    there = CallError(f"{path} is there already: name another --out, or remove it")
    if path.exists():
        raise there
    path.parent.mkdir(parents=True, exist_ok=True)
    if _remove_left(path, folders=True):
        raise CallError(being_written(path))
    partial, handle = _new(path, _made_folder)
    try:
        yield partial
        for file in partial.rglob("*"):
            sync_folder(file)
        sync_folder(partial)
        try:
            partial.rename(path)
        except OSError:
            if path.exists():  # another process was faster
                raise there from None
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(handle)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make what another library wrote into a file outlive a power cut."""
    sync_folder(path)  # the same call serves both


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _made_folder(name: Path) -> int:
    name.mkdir()
    try:
        return os.open(name, os.O_RDONLY)
    except FileNotFoundError:  # removed by another process before it was locked
        raise FileExistsError(name) from None


def _new(path: Path, made: Callable[[Path], int]) -> tuple[Path, int]:
    """A name that was free, and the handle of what is there now; never what somebody has put in its place."""
    while True:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
        with suppress(FileExistsError):
            handle = made(partial)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            if partial.exists():
                return partial, handle
            os.close(handle)  # removed by another process before it was locked


def _remove_left(path: Path, *, folders: bool) -> bool:
    """Remove the files, or the folders, that a kill left of `path`; whether there are some that are held."""
    held = False
    for partial in _partials(path):
        if partial.is_dir() != folders:
            continue
        with suppress(OSError):
            handle = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial) if folders else partial.unlink()
            except BlockingIOError:
                held = True
            finally:
                os.close(handle)
    return held


def _partials(path: Path) -> Iterator[Path]:
    """What `_new` names so, and what earlier versions did."""
    name = re.compile(rf"\.{re.escape(path.name)}(\.[0-9a-f]{{8}})?{re.escape(_PARTIAL)}")
    yield from (other for other in path.parent.iterdir() if name.fullmatch(other.name))
