"""An index in a folder: immutable parts, and an account that says which are in force."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from medistill.errors import CallError
from medistill.serve.index.about import About
from medistill.serve.index.case import Case, Hit, case_digest
from medistill.serve.index.filters import Filters, Values
from medistill.serve.index.folder.account import ACCOUNT, Account, read_account, write_account
from medistill.serve.index.folder.nearest import kind_of
from medistill.serve.index.folder.part import Part, PartWriter, damaged, part_schema
from medistill.serve.index.folder.snapshot import Snapshot
from medistill.serve.index.folder.writing import change
from medistill.serve.index.protocol import EVERY, Index, Kind
from medistill.serve.index.table import EmbeddingTable, vectors_of
from medistill.system.progress import Progress, counted

_ABSORBED = 2
"""A part of at most so many times the rows that are added becomes one with them, so that parts stay few."""
_TRIES = 10
Stamp = tuple[int, int]


class FolderIndex(Index):
    """Looks at each call what is in force, so that it follows what another process adds and deletes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._stamp, self._seen = self._read()

    @property
    def about(self) -> About:
        return self.snapshot.account.about

    @property
    def values(self) -> Values:
        return self.snapshot.values

    def __len__(self) -> int:
        return len(self.snapshot)

    def search(
        self,
        query: Float32[np.ndarray, " d"],
        k: int,
        *,
        filters: Filters = EVERY,
        per_patient: bool = True,
    ) -> list[Hit]:
        return self.snapshot.search(query, k, filters=filters, per_patient=per_patient)

    def case(self, id: str) -> Case | None:  # noqa: A002 - the protocol's name
        return self.snapshot.case(id)

    def add(self, table: EmbeddingTable, *, on_progress: Progress | None = None) -> int:
        with change(self.folder, on_progress) as step:
            about, added = step.account.about, table.about
            about.check_model(added.model_sha256, added.preprocessing, f"the table {table.path}")
            about = about.with_corpora(added.corpora)
            replaced, old = table.study_ids(), step.old()
            kept = [~part.of_studies(replaced) for part in old]
            first = _absorbed(kept, len(table))
            for part, rows in zip(old[:first], kept[:first], strict=True):
                step.keep(part, rows)
            rest = list(zip(old[first:], kept[first:], strict=True))
            total = len(table) + sum(int(rows.sum()) for _, rows in rest)

            def fill(writer: PartWriter) -> None:
                tell = counted(on_progress, "writing", total)
                for part, rows in rest:
                    writer.add_part(part, rows)
                    tell(int(rows.sum()))
                _add_table(writer, table, tell)

            if total:
                step.write(about.findings, fill)
            step.commit(about)
        return len(table)

    def delete(self, study_ids: Sequence[str]) -> int:
        gone = 0
        with change(self.folder) as step:
            for part in step.old():
                deleted = part.of_studies(set(study_ids))
                gone += int(deleted.sum())
                step.keep(part, ~deleted)
            if gone:
                step.commit(step.account.about)
        return gone

    def close(self) -> None:
        """Nothing is held that the garbage collector does not let go of."""

    @property
    def snapshot(self) -> Snapshot:
        """What is in force."""
        with self._lock:
            if self._stamped() != self._stamp:
                self._stamp, self._seen = self._read()
            return self._seen

    def _read(self) -> tuple[Stamp, Snapshot]:
        for _ in range(_TRIES):
            stamp, account = self._stamped(), read_account(self.folder)
            try:
                return stamp, self._opened(account)
            except FileNotFoundError:  # replaced since the account was read: there is a newer one
                continue
        raise damaged(self.folder, "files of its parts are missing")

    def _stamped(self) -> Stamp:
        """Differs once the account was replaced."""
        try:
            file = (self.folder / ACCOUNT).stat()
        except OSError:
            return (0, 0)  # reading the account says why in one line
        return file.st_ino, file.st_mtime_ns

    def _opened(self, account: Account) -> Snapshot:
        dim = account.about.dim
        parts = [Part(self.folder / entry.name, entry.images, dim) for entry in account.parts]
        kind = kind_of(account.kind)
        for part in parts:
            kind.open(part)
        return Snapshot(account, parts, kind)


def folder_for(folder: Path, about: About, kind: Kind | None) -> FolderIndex:
    """As `index_for`."""
    if (folder / ACCOUNT).exists():
        known = read_account(folder).kind
        if kind not in (None, known):
            raise CallError(f"the index {folder} is of kind {known}, not {kind}: name another --out")
        return FolderIndex(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CallError(f"{folder} is there and no index: name another --out, or remove it first")
    kind_of(kind or "exact")  # its package is missed before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    write_account(folder, Account(kind=kind or "exact", about=replace(about, corpora=())))
    return FolderIndex(folder)


def _absorbed(kept: Sequence[np.ndarray], size: int) -> int:
    """From which part on they become one with `size` new rows."""
    first = len(kept)
    while first and kept[first - 1].sum() <= _ABSORBED * size:
        first -= 1  # sizes add up, so that each row is copied some log(n) times in all
        size += int(kept[first].sum())
    return first


def _add_table(writer: PartWriter, table: EmbeddingTable, tell: Callable[[int], None]) -> None:
    """The rows of a table, which get their ids here."""
    corpus = table.about.corpora[0]
    schema = part_schema(corpus.findings)
    for batch in table.batches():
        digests = [case_digest(corpus.sha256, row) for row in batch["row"].to_pylist()]
        ids = pa.array(digests, schema.field("id").type)
        cases = pa.record_batch([ids, *(batch[name] for name in schema.names[1:])], schema=schema)
        writer.add(cases, vectors_of(batch["image_vector"], table.about.dim))
        tell(batch.num_rows)
