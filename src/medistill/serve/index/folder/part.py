"""A part of an index on disk: cases and their vectors, written once, memory-mapped."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int

from medistill.errors import CallError
from medistill.serve.index.case import ID_BYTES, Case, case_of
from medistill.serve.index.table import case_fields
from medistill.system.atomic import sync_folder
from medistill.system.checksums import ChecksumError, add_sums, verify

CASES, VECTORS = "cases.arrow", "vectors.f32"
_BATCH = 16_384


def part_schema(findings: Sequence[str]) -> pa.Schema:
    """An id, what the corpus says, and the row there."""
    fields = [("id", pa.binary(ID_BYTES)), *case_fields(findings), ("row", pa.int64())]
    return pa.schema(fields)


class Part:
    """An opened part. CallError if its files are not what the index's account says."""

    def __init__(self, folder: Path, images: int, dim: int) -> None:
        self.folder = folder
        known = [verified(folder, name) for name in (CASES, VECTORS)]
        try:
            self.cases: pa.Table = pa.ipc.open_file(pa.memory_map(os.fspath(folder / CASES))).read_all()
            if not all(known):
                self.cases.validate(full=True)  # a wrong offset would end the process by a signal
        except pa.ArrowException:
            raise damaged(folder.parent, f"{CASES} of {folder.name} cannot be read") from None
        size = (folder / VECTORS).stat().st_size
        labels = self.cases.schema.field("labels").type if "labels" in self.cases.column_names else None
        if not pa.types.is_struct(labels) or not self.cases.schema.equals(part_schema(self.findings)):
            raise damaged(folder.parent, f"{CASES} of {folder.name} has other columns")
        if images < 1 or self.cases.num_rows != images or size != 4 * images * dim:
            raise damaged(folder.parent, f"the files of {folder.name} are of another length")
        # A plain view of the map: every slice of an np.memmap would be one again, at some cost.
        mapped = np.memmap(folder / VECTORS, "<f4", "r", shape=(images, dim))
        self.vectors: Float32[np.ndarray, "n d"] = np.asarray(mapped)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def findings(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.cases.schema.field("labels").type)

    def cell(self, name: str, row: int) -> Any:
        """One value."""
        return self._columns[name][row].as_py()

    def case(self, row: int) -> Case:
        cells = {name: column[row].as_py() for name, column in self._columns.items()}
        return case_of(cells, cells["id"].hex(), self.findings)

    def row_of(self, digest: bytes) -> int | None:
        """The row of the case with that id."""
        starts, order = self._starts
        start = int.from_bytes(digest[:8], "big")
        place = int(np.searchsorted(starts, start))
        # Ids are hashes: two that begin alike are not to be expected, and are told apart all the same.
        while place < len(starts) and int(starts[place]) == start:
            if self.cell("id", int(order[place])) == digest:
                return int(order[place])
            place += 1
        return None

    def of_studies(self, study_ids: set[str]) -> Bool[np.ndarray, " n"]:
        """Which rows are of these studies."""
        chunks = self.cases["study_id"].chunks
        return np.array([study in study_ids for chunk in chunks for study in chunk.to_pylist()], bool)

    @cached_property
    def _starts(self) -> tuple[np.ndarray, Int[np.ndarray, " n"]]:
        """The first eight bytes of the ids in order, and the row of each."""
        ids = [np.frombuffer(b"".join(chunk.to_pylist()), ">u8") for chunk in self.cases["id"].chunks]
        starts = np.concatenate([np.zeros(0, ">u8"), *ids])[:: ID_BYTES // 8].astype(np.uint64)
        order = np.argsort(starts, kind="stable")
        return starts[order], order

    @cached_property
    def _columns(self) -> dict[str, pa.ChunkedArray]:
        return {name: self.cases[name] for name in self.cases.column_names}


class PartWriter:
    """Writes a part in a stream; on the disk once closed."""

    def __init__(self, folder: Path, findings: Sequence[str]) -> None:
        folder.mkdir()
        self.folder, self.images = folder, 0
        self._schema = part_schema(findings)
        self._cases = (folder / CASES).open("wb")
        self._vectors = (folder / VECTORS).open("wb")
        self._writer = pa.ipc.new_file(self._cases, self._schema)

    def add(self, cases: pa.RecordBatch, vectors: Float32[np.ndarray, "n d"]) -> None:
        """Rows of a part or with the same columns; their labels may be of other findings."""
        columns = [cases[name] for name in self._schema.names]
        place = self._schema.get_field_index("labels")
        columns[place] = _relabeled(columns[place], self._schema.field("labels").type)
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._vectors.write(np.ascontiguousarray(vectors, "<f4").data)
        self.images += cases.num_rows

    def add_part(self, part: Part, kept: Bool[np.ndarray, " n"]) -> None:
        """Those rows of a part."""
        start = 0
        for batch in part.cases.to_batches(max_chunksize=_BATCH):
            some = kept[start : start + batch.num_rows]
            self.add(batch.filter(pa.array(some)), part.vectors[start : start + batch.num_rows][some])
            start += batch.num_rows

    def close(self) -> None:
        self._writer.close()
        for file in (self._cases, self._vectors):
            file.flush()  # of Python's buffer; fsync knows only what the system has
            os.fsync(file.fileno())
            file.close()
        add_sums(self.folder, CASES, VECTORS)
        sync_folder(self.folder)


def _relabeled(labels: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    """The same with these findings; null where a finding was not among them."""
    there = [field.name for field in labels.type]
    columns = [
        labels.field(there.index(field.name)) if field.name in there else pa.nulls(len(labels), pa.int8())
        for field in kind
    ]
    return pa.StructArray.from_arrays(columns, fields=list(kind)) if columns else pa.nulls(len(labels), kind)


def verified(folder: Path, name: str) -> bool:
    """Whether a file of a part has a checksum, compared before it is read; CallError if it does not fit."""
    try:
        return verify(folder / name)
    except ChecksumError:
        raise damaged(folder.parent, f"{name} of {folder.name} does not fit its checksum") from None


def damaged(folder: Path, why: str) -> CallError:
    return CallError(f"the index {folder} is damaged ({why}): index its tables again")
