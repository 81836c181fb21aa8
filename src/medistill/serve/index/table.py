"""The embedding table: a row an image of a corpus, with its vectors."""

import json
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Float32

from medistill.data.columns import label_faults, null_faults
from medistill.errors import CallError
from medistill.serve.index.about import About, about_from_json
from medistill.system.checksums import ChecksumError, say_without, sums_alone, verify

pc: Any = pyarrow.compute  # makes its functions when it is imported, unseen by pyright
FORMAT = 1
"""Version of the layout; a table of another version is refused."""
_KEY = b"medistill"
_NEVER_NULL = ("study_id", "patient_id", "split", "row", "image_vector")
_UNIT = 0.01
"""How far from 1 the length of a vector may be: those of models that count in halves are not exact."""
CASE_COLUMNS = ("study_id", "patient_id", "split", "view", "sex", "age", "date", "source", "text", "labels")


def labels_type(findings: Sequence[str]) -> pa.DataType:
    """A struct of a nullable int8 a finding."""
    return pa.struct([(finding, pa.int8()) for finding in findings])


def case_fields(findings: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    """The columns that say what an image is of; `text` is null where the study has no report."""
    types: dict[str, pa.DataType] = {"age": pa.float32(), "date": pa.date32()}
    types["labels"] = labels_type(findings)
    return [(name, types.get(name, pa.string())) for name in CASE_COLUMNS]


def table_schema(about: About, home: Path | None = None) -> pa.Schema:
    """Columns of a table of one corpus, and, told from the folder `home`, what it is of as metadata."""
    vector = pa.list_(pa.float32(), about.dim)
    fields = [*case_fields(about.findings), ("row", pa.int64())]
    fields += [("image_vector", vector), ("text_vector", vector)]
    metadata = json.dumps({"format": FORMAT, **about.as_json(home)}, sort_keys=True)
    return pa.schema(fields, metadata={_KEY: metadata})


class EmbeddingTable:
    """An opened table, memory-mapped."""

    def __init__(self, path: Path, about: About, reader: pa.ipc.RecordBatchFileReader) -> None:
        self.path, self.about = path, about
        self._reader = reader
        with _whole(path):
            self._length = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))

    def __len__(self) -> int:
        return self._length

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in order, some at a time."""
        for i in range(self._reader.num_record_batches):
            with _whole(self.path):
                yield self._reader.get_batch(i)

    def study_ids(self) -> set[str]:
        return {study for batch in self.batches() for study in batch["study_id"].to_pylist()}


def open_table(path: Path) -> EmbeddingTable:
    """A file written by `medistill embed`; CallError if it is none, damaged, or of another version."""
    if not path.is_file():
        raise CallError(f"no such file: {path}; `medistill embed MODEL --data CORPUS --out TABLE` writes one")
    try:
        known = verify(path, sums_alone(path))
    except ChecksumError as error:
        raise _damaged(path, error.reason) from None
    try:
        reader = pa.ipc.open_file(pa.memory_map(os.fspath(path)))
        fields: Any = json.loads((reader.schema.metadata or {})[_KEY])
        version = fields.pop("format")
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, AttributeError):
        raise CallError(
            f"not an embedding table: {path} is cut short, or not written by `medistill embed`"
        ) from None
    if version != FORMAT:
        raise CallError(f"the table {path} is of format {version}, expected {FORMAT}: embed again")
    try:
        about = about_from_json(fields, path.parent)
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, "it lacks what it must tell") from None
    if not reader.schema.equals(table_schema(about)):
        raise _damaged(path, "it has other columns")
    table = EmbeddingTable(path, about, reader)
    for batch in table.batches():
        _check(path, batch, about, known)
    if not known:
        say_without(path)
    return table


def _check(path: Path, batch: pa.RecordBatch, about: About, known: bool) -> None:
    """CallError for cells that no table of ours has; the batch is read only where that is safe."""
    cells = pa.Table.from_batches([batch])
    if not known:
        with _whole(path):
            cells.validate(full=True)  # a wrong offset would end the process by a signal
    faults = [*null_faults(cells, _NEVER_NULL), *label_faults(cells)]
    for name in ("image_vector", "text_vector"):
        faults += _vector_faults(batch, name, about)
    if (row := pc.min(batch["row"]).as_py()) is not None and row < 0:
        faults.append(f"has {row} as `row`, expected 0 or more")
    for fault in faults:
        raise _damaged(path, f"it {fault}")


def _vector_faults(batch: pa.RecordBatch, name: str, about: About) -> Iterator[str]:
    """Vectors that are like nothing, or like everything; those that are null are left out."""
    vectors = vectors_of(batch[name].drop_null(), about.dim)
    lengths = np.linalg.norm(vectors, axis=1)
    bad = int((~np.isfinite(lengths)).sum())
    if bad:
        yield f"has NaN or infinity in {bad:,} rows of `{name}`"
    elif bad := int((abs(lengths - 1) > _UNIT).sum()):
        worst = lengths[abs(lengths - 1).argmax()]
        yield f"has {bad:,} rows of `{name}` whose length is not 1, as {worst:.3g}"


def vectors_of(column: pa.FixedSizeListArray, dim: int) -> Float32[np.ndarray, "n d"]:
    """A column of vectors without nulls as rows, not copied."""
    values = column.values.slice(column.offset * dim, len(column) * dim)
    return values.to_numpy(zero_copy_only=False).reshape(-1, dim)


@contextmanager
def _whole(path: Path) -> Generator[None]:
    try:
        yield
    except (pa.ArrowException, OSError):
        raise _damaged(path, "it is cut short, or no Arrow") from None


def _damaged(path: Path, why: str) -> CallError:
    return CallError(f"the embedding table {path} is damaged ({why}): write it again with `medistill embed`")
