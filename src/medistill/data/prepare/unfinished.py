"""A corpus while it is written: what is there survives a kill."""

import contextlib
import json
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from medistill.data.corpus import TABLE
from medistill.data.prepare.rejects import Line
from medistill.errors import CallError
from medistill.system.checksums import SUMS, write_sums
from medistill.system.journal import Journal, append_durably
from medistill.system.locks import being_written, locked, own_folder
from medistill.system.pieces import part_of

_JOURNAL = "journal.jsonl"
_LOCK = "lock"  # of a run that an earlier version began
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # Arrow's IPC format: a continuation mark and no length


class OtherUnitsError(Exception):
    """The source does not give the units that a stopped run had read."""


class Place(NamedTuple):
    """How far a source has been read: what to go on after."""

    units: int = 0
    items: int = 0
    """Studies and rejects that came of the units."""
    sha256: str = ""
    """Chained over the units: tells them from any others."""

    def card(self) -> dict[str, Any]:
        """What tells a finished corpus's source from any other."""
        return {"count": self.units, "sha256": self.sha256}

    def after(self, unit: object, items: int) -> "Place":
        """The place behind one more unit."""
        chain = sha256(f"{self.sha256}{unit!r}".encode()).hexdigest()
        return Place(self.units + 1, self.items + items, chain)


BEGINNING = Place()


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What was written at once; only what a commit covers is there after a kill."""

    place: Place
    digests: Sequence[str]
    """Of its rows."""
    rejects: Sequence[Line]
    sums: Sequence[Mapping[str, Any]] = ()
    """Checksums of what was added to the table, taken before it went to the disk."""


class Unfinished:
    """The hidden folder beside a corpus, its table and a journal of what the table holds for certain."""

    def __init__(self, folder: Path, schema: pa.Schema, start: Mapping[str, Any]) -> None:
        self.folder, self.schema = folder, schema
        self._start = json.loads(json.dumps(start))
        self._journal = Journal(folder / _JOURNAL, folder / TABLE)
        entries = self._journal.left()
        same = bool(entries) and entries[0] == self._start and all("sums" in entry for entry in entries[1:])
        self.commits = [_commit(entry) for entry in entries[1:]] if same else []
        self._sums = [part for commit in self.commits for part in commit.sums]
        if not self.commits:
            self.clear()

    def clear(self) -> None:
        """Forget what is there."""
        self.commits, self._sums = [], list[Mapping[str, Any]]()
        self._journal.begin(self._start, self.schema.serialize().to_pybytes())

    def rows(self) -> Iterator[dict[str, Any]]:
        """The committed rows without their images and texts."""
        kept = ["study_id", "patient_id", "split", "labels"]
        if self.commits:
            with pa.memory_map(str(self.folder / TABLE)) as file:
                for batch in pa.ipc.open_stream(file):
                    yield from batch.select(kept).to_pylist()

    def commit(self, rows: Sequence[Mapping[str, Any]], commit: Commit) -> None:
        """Write rows and, once they are on the disk, that they are."""
        batch = pa.RecordBatch.from_pylist(list(rows), self.schema).serialize() if rows else None
        sums = [_sums_of(batch, self.schema, [row["image"] for row in rows])] if batch else []
        self._journal.append(batch.to_pybytes() if batch else b"", asdict(replace(commit, sums=sums)))
        self._sums += sums

    def close(self) -> None:
        """End the table; the folder then holds nothing but the corpus."""
        append_durably(self.folder / TABLE, _END_OF_STREAM)
        parts = [part_of(memoryview(self.schema.serialize())), *self._sums, part_of(_END_OF_STREAM)]
        write_sums(self.folder / SUMS, {TABLE: {"parts": parts}})
        for name in (_JOURNAL, _LOCK):
            (self.folder / name).unlink(missing_ok=True)


@contextmanager
def unfinished(out: Path, schema: pa.Schema, start: Mapping[str, Any]) -> Generator[Unfinished]:
    """What a stopped run with the same `start` left of `out`, or a beginning; stays there if this one stops.

    One run at a time: CallError if another one holds it.
    """
    folder = out.parent / f".{out.name}.partial"
    try:
        own_folder(folder)
    except OSError as error:
        raise CallError(f"cannot make the folder {out}: {error.strerror}") from error
    with locked(folder, being_written(out)):
        try:
            yield Unfinished(folder, schema, start)
        finally:
            if not folder.exists() or not _saved(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _sums_of(batch: pa.Buffer, schema: pa.Schema, images: Sequence[bytes]) -> dict[str, Any]:
    """The checksums of a batch as it lies in the file, and of each image in it."""
    column = pa.ipc.read_record_batch(batch, schema).column("image")
    content = column.buffers()[2]
    return part_of(memoryview(batch), content.address - batch.address if content else 0, images)


def _saved(folder: Path) -> bool:
    """Whether there is anything to go on from."""
    with contextlib.suppress(OSError):
        return (folder / _JOURNAL).read_bytes().count(b"\n") > 1
    return False


def _commit(values: Mapping[str, Any]) -> Commit:
    return Commit(
        place=Place(*values["place"]),
        digests=values["digests"],
        rejects=[Line(*line) for line in values["rejects"]],
        sums=values["sums"],
    )
