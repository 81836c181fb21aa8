"""Embedding tables without a model: vectors and cases as a test wants them."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medistill.serve.index.about import About, Origin
from medistill.serve.index.table import EmbeddingTable, open_table, table_schema
from tests.serve.index.postgres_server import server  # noqa: F401 - a fixture

DIM = 8
FINDINGS = ("effusion", "edema")


def about(model_sha256: str = "a" * 64, corpus: str = "c" * 64, findings=FINDINGS, dim: int = DIM) -> About:
    origin = Origin(path="nowhere", sha256=corpus, findings=tuple(findings), phantoms=True)
    return About(
        model="nowhere/run",
        model_sha256=model_sha256,
        preprocessing={"size": 32},
        scale=20.0,
        dim=dim,
        corpora=(origin,),
    )


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a table was made of."""

    table: EmbeddingTable
    vectors: np.ndarray
    rows: list[dict] = field(default_factory=list)


def make_table(
    path: Path,
    count: int = 60,
    *,
    seed: int = 0,
    first: int = 0,
    vectors: np.ndarray | None = None,
    batch: int = 7,
    **changes,
) -> Made:
    """Two images a study, two studies a patient; every seventh study has no report, some nothing at all.

    first   number of the first study
    """
    random = np.random.default_rng(seed)
    told = about(**changes)
    vectors = unit(random.standard_normal((count, told.dim))) if vectors is None else vectors
    rows = [_row(i, first, told.findings) for i in range(count)]
    schema = table_schema(told)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, count, batch):
            some = rows[start : start + batch]
            image = [vector.tolist() for vector in vectors[start : start + batch]]
            cells = [
                row | {"image_vector": v, "text_vector": None} for row, v in zip(some, image, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_pylist(cells, schema=schema))
    return Made(table=open_table(path), vectors=vectors, rows=rows)


def _row(i: int, first: int, findings) -> dict:
    study = first + i // 2
    bare = i % 11 == 10
    return {
        "study_id": f"s{study:05d}",
        "patient_id": f"p{study // 2:05d}",
        "split": ("train", "val", "test")[study % 3],
        "view": None if bare else ("PA", "AP", "lateral")[i % 3],
        "sex": None if bare else "FM"[study % 2],
        "age": None if bare else float(20 + study % 50),
        "date": None if bare else datetime.date(2020, 1, 1) + datetime.timedelta(days=study),
        "source": ("here", "there")[study % 2],
        "text": None if study % 7 == 6 else f"Report of study {study}.",
        "labels": {name: None if bare else (study + n) % 3 - 1 for n, name in enumerate(findings)},
        "row": i,
    }


@pytest.fixture
def made(tmp_path) -> Made:
    return make_table(tmp_path / "table.arrow")
