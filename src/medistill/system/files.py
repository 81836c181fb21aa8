"""Files of others: only regular ones are opened, and no link leads out."""

import os
import stat
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from medistill.errors import MedistillError

LEADS_OUT = "a link that leads out of the folder: --follow-links takes what it leads to"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Listing(NamedTuple):
    """What lies in a folder, in order, but what is hidden."""

    folder: Path
    names: list[str]
    """Of files, and of whatever else is no folder."""
    outside: list[str]
    """Of links, to files or folders, that lead out of where the walk began."""


def open_regular(path: Path) -> BufferedReader:
    """The file opened for reading; MedistillError for what may never end, as a named pipe or a device.

    OSError as `open` has it, for a folder too; ValueError for a name with a zero byte in it.
    """
    _check_regular(path.stat())  # first, because opening a device may do something
    # Not to wait for a writer, should a pipe have taken the place since; of no effect on a file.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(os.fstat(handle))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


@contextmanager
def naming(path: Path) -> Generator[None]:
    """Errors of the system name this file where they name none, as those of writing: "File too large"."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def read_regular(path: Path, most: int = -1) -> bytes:
    """All of a file, or its first `most` bytes; raises as `open_regular` does."""
    with open_regular(path) as file:
        return file.read(most)


def _check_regular(status: os.stat_result) -> None:
    if kind := _KINDS.get(stat.S_IFMT(status.st_mode)):
        raise MedistillError(f"not a file but {kind}")


def walk(root: Path, *, follow_links: bool = False, without: Collection[Path] = ()) -> Iterator[Listing]:
    """Each folder below `root` and what lies in it; links to folders within are passed over.

    follow_links   take what links lead to that lead out, a folder once however often it is come by
    without        files and folders that are passed over
    """
    home = _real(root)
    ours = {_real(path) for path in without}
    our_names = {path.name for path in ours}
    seen = {home}

    def shown(names: list[str], folder: Path) -> list[Path]:
        paths = [folder / name for name in sorted(names) if not name.startswith(".")]
        return [path for path in paths if not (path.name in our_names and _real(path) in ours)]

    def leads_out(path: Path) -> bool:
        return path.is_symlink() and not _real(path).is_relative_to(home)

    for name, folders, names in os.walk(root, followlinks=follow_links):
        files, inner = shown(names, Path(name)), shown(folders, Path(name))
        outside = [path for path in (*inner, *files) if leads_out(path) and not follow_links]
        inner = [path for path in inner if path not in outside and (leads_out(path) or not path.is_symlink())]
        if follow_links:
            inner = [path for path in inner if _first_time(_real(path), seen)]
        folders[:] = [path.name for path in inner]
        kept = [path.name for path in files if path not in outside]
        yield Listing(Path(name), kept, [path.name for path in outside])


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `resolve` raises RuntimeError for links in a circle


def _first_time(folder: Path, seen: set[Path]) -> bool:
    is_first = folder not in seen
    seen.add(folder)
    return is_first
