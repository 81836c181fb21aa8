"""Checksums of files that are read again: written beside them, compared when they are read.

XXH3 of 128 bits: as fast as memory, so that a model or an index of some gigabytes opens as before. It is
there for what disks and copies do to a file; it proves nothing against who can write the folder.
"""

import json
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from xxhash import xxh3_128

from medistill.errors import CallError
from medistill.system.atomic import as_bytes, atomic_file, write_atomically, write_together
from medistill.system.pieces import Pieces, pieces_of

log = logging.getLogger(__name__)
SUMS = "checksums.json"
"""Beside the files of a folder of ours; a file alone among a user's has its own, `FILE.checksums.json`."""
_KEPT = 3
"""Checksums of a name: the file's, and those of files before it, which a kill may have left in its place."""
_CHUNK = 1 << 22
_TRIES = 5
_fitting: set[tuple[Any, ...]] = set()
"""Files that have been compared in this process: they are not compared again while nobody replaces them."""
_without: set[Path] = set()


class ChecksumError(CallError):
    """A file is not as it was written."""

    def __init__(self, path: Path) -> None:
        self.reason = f"{path.name} does not fit its checksum"
        super().__init__(
            f"{path.parent.name}/{path.name} is damaged (it does not fit its checksum): copy it or write it "
            "again; if it was changed on purpose, remove the file of checksums beside it"
        )


def checksum(content: bytes) -> str:
    return xxh3_128(content).hexdigest()


def checksum_of(path: Path) -> str:
    """Of a whole file."""
    digest = xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sums_alone(path: Path) -> Path:
    """Where the checksum of a file is that lies among a user's own."""
    return path.with_name(f"{path.name}.{SUMS}")


def write_sums(sums: Path, new: Mapping[str, Any]) -> None:
    """Add checksums of files; to be called before a file takes its place.

    new   name -> checksum of the whole, or the JSON of `Pieces`
    """
    known = _read_sums(sums) or {}
    for name, value in new.items():
        before = [other for other in known.get(name, ()) if other != value]
        known[name] = [value, *before][:_KEPT]
    write_atomically(sums, _packed(known))


def copy_sums(folder: Path, name: str, to: str) -> None:
    """To be called before a file gets another name as well."""
    known = _read_sums(folder / SUMS) or {}
    if name in known:
        known[to] = [*known[name], *known.get(to, ())][:_KEPT]
        write_atomically(folder / SUMS, _packed(known))


def write_checked(path: Path, content: str | bytes) -> None:
    """As `write_atomically`, with a checksum beside it."""
    with checked_file(path) as file:
        file.write(as_bytes(content))


def write_all_checked(folder: Path, contents: Mapping[str, str | bytes], page: Mapping[str, str]) -> None:
    """As `write_together`, with checksums of all but the page, which is for people alone."""
    new = {name: checksum(as_bytes(content)) for name, content in contents.items()}
    write_together(folder, {**contents, **page}, before=lambda: write_sums(folder / SUMS, new))


@contextmanager
def checked_file(path: Path, sums: Path | None = None) -> Generator[IO[bytes]]:
    """As `atomic_file`, written from its beginning to its end, with a checksum beside it."""
    with atomic_file(path) as file:
        hashed = _Hashed(file)
        yield cast("IO[bytes]", hashed)
        file.flush()
        write_sums(sums or path.parent / SUMS, {path.name: hashed.digest.hexdigest()})


def add_sums(folder: Path, *names: str) -> None:
    """Checksums of files that another library has written into a folder, or below it."""
    write_sums(folder / SUMS, {name: checksum_of(folder / name) for name in names})


def read_checked(path: Path) -> bytes:
    """What a small file holds; ChecksumError if that is not what was written, OSError if it is not there."""
    for _ in range(_TRIES):
        stamp, content = _stamp(path), path.read_bytes()
        known = (_read_sums(path.parent / SUMS) or {}).get(path.name)
        if known is None or checksum(content) in known:
            return content
        if stamp == _stamp(path):
            break
    raise ChecksumError(path)


def verify(path: Path, sums: Path | None = None) -> bool:
    """Compare a whole file with its checksum, once a process; False if it has none.

    ChecksumError if they differ, OSError if the file is not there.
    """
    sums = sums or path.parent / SUMS
    for _ in range(_TRIES):
        stamp = _stamp(path)
        if stamp in _fitting:
            return True
        own = checksum_of(path)
        known = (_read_sums(sums) or {}).get(_name(path, sums))
        if known is None:
            return False
        if own in known:
            _fitting.add(stamp)
            return True
        if stamp == _stamp(path):  # else another process has replaced it meanwhile
            break
    raise ChecksumError(path)


def pieces(path: Path) -> Pieces | None:
    """The checksums of a file that is verified by pieces, all but those compared; None if it has none.

    ChecksumError if they differ.
    """
    known = (_read_sums(path.parent / SUMS) or {}).get(path.name)
    if known is None:
        return None
    sums, stamp = pieces_of(known[0]), _stamp(path)
    if stamp not in _fitting:
        if not sums.rest_fits(path):
            raise ChecksumError(path)
        _fitting.add(stamp)
    return sums


def verify_folder(folder: Path) -> None:
    """Compare each file that has a checksum there, once a process; ChecksumError if one differs."""
    for name in _read_sums(folder / SUMS) or {}:
        if (folder / name).is_file():
            verify(folder / name, folder / SUMS)


def beginning(path: Path, length: int) -> dict[str, Any]:
    """The checksum of the first bytes of a file that goes on growing, as JSON."""
    return {"bytes": length, "beginning": checksum(path.read_bytes()[:length])}


def verify_beginning(path: Path) -> None:
    """ChecksumError unless a file begins as it did when its checksum was taken, if it has one."""
    known = (_read_sums(path.parent / SUMS) or {}).get(path.name)
    if known and not _begins(path, known):
        raise ChecksumError(path)


def _begins(path: Path, known: list[Any]) -> bool:
    newest = known[0]
    return beginning(path, newest["bytes"]) == newest


def say_without(what: Path) -> None:
    """One line for what an earlier version wrote; once a process."""
    if what.absolute() not in _without:
        _without.add(what.absolute())
        log.info("%s has no checksums: written by an earlier version, damage to it may go unnoticed", what)


def differing(path: Path) -> tuple[list[str], int]:
    """Files under a folder, or one file, that are not as they were written; and how many were compared.

    A damaged file of checksums is one of them.
    """
    others, compared = list[str](), 0
    base = path if path.is_dir() else path.parent
    for sums in sorted(path.rglob(SUMS)) if path.is_dir() else [sums_alone(path)]:
        try:
            listed = _read_sums(sums) or {}
        except ChecksumError:
            listed = {sums.name: [""]}
        for name, known in listed.items():
            compared += 1
            if not _fits(sums.parent / name, known):
                others.append((sums.parent / name).relative_to(base).as_posix())
    return others, compared


def _fits(path: Path, known: list[Any]) -> bool:
    try:
        if isinstance(known[0], str):
            return checksum_of(path) in known
        if "beginning" in known[0]:
            return _begins(path, known)
        return pieces_of(known[0]).all_fit(path)
    except OSError:
        return False


def _read_sums(path: Path) -> dict[str, list[Any]] | None:
    """Name -> its checksums, the newest first; ChecksumError if the file itself is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        files: dict[str, list[Any]] = json.loads(content)["files"]
        if _packed(files) == content:
            return files
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ChecksumError(path)


def _packed(files: Mapping[str, Any]) -> bytes:
    """The one spelling of these checksums, with their own."""
    own = checksum(json.dumps(files, sort_keys=True).encode())
    fields = {"algorithm": "xxh3_128", "files": files, "own": own}
    return (json.dumps(fields, sort_keys=True) + "\n").encode()


def _name(path: Path, sums: Path) -> str:
    """Of a file in a file of checksums, which is of folders below its own as well."""
    return path.relative_to(sums.parent).as_posix()


def _stamp(path: Path) -> tuple[Any, ...]:
    file = path.stat()
    return str(path.absolute()), file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


class _Hashed:
    """A file that hashes what goes through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest, self.closed = file, xxh3_128(), False

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.file.tell()

    def flush(self) -> None:
        self.file.flush()

    def writable(self) -> bool:
        return True
