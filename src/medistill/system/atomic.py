"""Files that are either whole or absent, whatever kills the process."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from medistill.errors import CallError


@contextmanager
def atomic_file(path: Path) -> Generator[IO[bytes]]:
    """A binary file that takes the place of `path` once written and synced; an error leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) through `atomic_file`."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


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


@contextmanager
def atomic_folder(path: Path) -> Generator[Path]:
    """An empty folder that takes the name `path` once filled and synced; an error leaves nothing.

    CallError if `path` is there already. What a killed call left behind is removed by the next one.
    """
    if path.exists():
        raise CallError(f"{path} is there already: name another --out, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.rglob("*"):
            sync_folder(file)
        sync_folder(partial)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(path.parent)
