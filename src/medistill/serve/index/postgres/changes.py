"""Changes of an index in PostgreSQL: each within one transaction of the caller's."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pgvector import Vector
from psycopg import Cursor

from medistill.serve.index.case import case_digest
from medistill.serve.index.postgres.cases import lock_state, write_state
from medistill.serve.index.postgres.schema import Names, make_graph
from medistill.serve.index.postgres.search import LEAST
from medistill.serve.index.table import EmbeddingTable, vectors_of
from medistill.system.progress import Progress, counted

_TYPES = {
    "id": "bytea",  # 16 bytes are what a uuid is on the wire, and those of Vector.to_binary what a vector is
    "study_id": "text",
    "patient_id": "text",
    "split": "text",
    "view": "text",
    "sex": "text",
    "age": "float4",
    "date": "date",
    "source": "text",
    "text": "text",
    "labels": "jsonb",
    "row": "int8",
    "vector": "bytea",
}
_COPY = "COPY {image} (" + ", ".join(f'"{name}"' for name in _TYPES) + ") FROM STDIN (FORMAT binary)"
_DELETE = "DELETE FROM {image} WHERE study_id = ANY(%s::text[])"
_STATISTICS = "ANALYZE {image}"


def add_table(cursor: Cursor, names: Names, table: EmbeddingTable, on_progress: Progress | None) -> None:
    """Take in a table; its studies replace those of the same ids."""
    state, added = lock_state(cursor, names), table.about
    state.about.check_model(added.model_sha256, added.preprocessing, f"the table {table.path}")
    images = state.images - _delete(cursor, names, sorted(table.study_ids())) + len(table)
    tell = counted(on_progress, "writing", len(table))
    with cursor.copy(names.fill(_COPY)) as copy:
        copy.set_types(list(_TYPES.values()))
        for batch in table.batches():
            for row in _rows(batch, added.corpora[0].sha256, added.dim):
                copy.write_row(row)
            tell(batch.num_rows)
    write_state(cursor, names, state.about.with_corpora(added.corpora), images)
    cursor.execute(names.fill(_STATISTICS))
    if images > LEAST:
        make_graph(cursor, names, added.dim, on_progress)


def delete_studies(cursor: Cursor, names: Names, study_ids: Sequence[str]) -> int:
    """How many images went."""
    state = lock_state(cursor, names)
    if gone := _delete(cursor, names, [study for study in study_ids if _is_storable(study)]):
        write_state(cursor, names, state.about, state.images - gone)
    return gone


def _delete(cursor: Cursor, names: Names, study_ids: list[str]) -> int:
    return cursor.execute(names.fill(_DELETE), [study_ids]).rowcount


def _is_storable(study: str) -> bool:
    """False for what cannot be in the index: with NUL, or with bytes of a command line that are no UTF-8."""
    return "\0" not in study and study.encode(errors="ignore").decode() == study


def _rows(batch: pa.RecordBatch, corpus_sha256: str, dim: int) -> Iterator[tuple[Any, ...]]:
    vectors = vectors_of(batch["image_vector"], dim)
    rows: list[dict[str, Any]] = batch.drop_columns(["image_vector", "text_vector"]).to_pylist()
    for cells, vector in zip(rows, vectors, strict=True):
        cells["id"] = case_digest(corpus_sha256, cells["row"])
        cells["labels"] = {name: value for name, value in cells["labels"].items() if value is not None}
        cells["text"] = cells["text"] and cells["text"].replace("\0", "")  # which PostgreSQL does not store
        cells["vector"] = Vector(vector).to_binary()
        yield tuple(cells[name] for name in _TYPES)
