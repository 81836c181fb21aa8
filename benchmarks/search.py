"""Case search: latency, recall against exact search, filters, building time and size, one query at a time.

    python benchmarks/search.py [--table TABLE] [--images N ...] [--vectors phantoms gaussian] [--json]

`phantoms`: image embeddings of the quickstart model on its phantoms (TABLE, by `medistill embed`; without it
the quickstart is run). Their width becomes 256 by a random orthonormal map, which leaves cosines as they are.
An indexed vector is one of those of the train and val studies, drawn at random, plus noise of length 0.5 in a
random direction of all 256, made unit: its cosine to its phantom is about 0.89. Queries are drawn likewise
from the test studies, of which the index has none. `gaussian`: random directions, the worst case: nothing is
near anything. Views, sexes, ages and labels are those of the phantoms. Each image is a study and a patient of
its own, so that recall is that of the ten nearest images.

Times are those of `Index.search`, cases read and all, by the clock and of the processor; the former also tell
how busy the machine was. The ratio to exact search of the same vectors depends on the machine the least.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medistill.serve.index.embed import embed
from medistill.serve.index.filters import Filters
from medistill.serve.index.index import index_for
from medistill.serve.index.protocol import Index
from medistill.serve.index.table import (
    EmbeddingTable,
    case_fields,
    open_table,
    table_schema,
    vectors_of,
)

DIM, NOISE, K, BATCH = 256, 0.5, 10, 20_000
FILTERS = {
    "": Filters(),
    "half": Filters(sexes=("F",)),
    "few": Filters(views=("lateral",), sexes=("F",), labels=("pacemaker",)),
}


def quickstart_table(home: Path) -> EmbeddingTable:
    """Embeddings of the quickstart model on its own phantoms."""
    from medistill.cli.quickstart import run_quickstart

    run_quickstart(home / "quickstart")
    embed(home / "quickstart" / "run", home / "quickstart" / "corpus", home / "phantoms.arrow")
    return open_table(home / "phantoms.arrow")


class Source:
    """Draws vectors and cases."""

    def __init__(self, table: EmbeddingTable, vectors: str) -> None:
        self.random = np.random.default_rng(0)
        self.is_gaussian = vectors == "gaussian"
        whole = pa.Table.from_batches(list(table.batches())).combine_chunks()
        known = np.array(whole["split"].to_pylist()) != "test"
        rows = vectors_of(whole["image_vector"].chunk(0), table.about.dim)
        turned, _ = np.linalg.qr(self.random.standard_normal((DIM, table.about.dim)))
        self.indexed, self.held_out = (rows[some] @ turned.T.astype(np.float32) for some in (known, ~known))
        self.cases = whole.filter(pa.array(known))
        self.about = replace(table.about, dim=DIM)

    def queries(self, count: int) -> np.ndarray:
        return self._drawn(self.held_out, self.random.integers(len(self.held_out), size=count))

    def batches(self, count: int) -> Iterator[pa.RecordBatch]:
        """Rows of an embedding table."""
        schema = table_schema(self.about)
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            chosen = self.random.integers(len(self.indexed), size=size)
            numbers = np.arange(start, start + size)
            cases = self.cases.take(pa.array(chosen)).combine_chunks()
            columns = {name: cases[name].chunk(0) for name, _ in case_fields(self.about.findings)}
            columns |= {name: pa.array([f"{n:08d}" for n in numbers]) for name in ("study_id", "patient_id")}
            flat = pa.array(self._drawn(self.indexed, chosen).reshape(-1))
            columns["image_vector"] = pa.FixedSizeListArray.from_arrays(flat, DIM)
            columns |= {"row": pa.array(numbers), "text_vector": pa.nulls(size, pa.list_(pa.float32(), DIM))}
            yield pa.record_batch([columns[name] for name in schema.names], schema=schema)

    def _drawn(self, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        noise = _unit(self.random.standard_normal((len(chosen), DIM), dtype=np.float32))
        return noise if self.is_gaussian else _unit(rows[chosen] + NOISE * noise)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_table(source: Source, count: int, path: Path) -> EmbeddingTable:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table_schema(source.about)) as writer:
        for batch in source.batches(count):
            writer.write_batch(batch)
    return open_table(path)


def timed(index: Index, queries: np.ndarray, filters: Filters) -> tuple[list[list[str]], np.ndarray]:
    """The ids found for each query, and (2, n) milliseconds: by the clock, and of the processor.

    The first queries are for warming up alone: files are read then, and the filter's rows are remembered.
    """
    ids: list[list[str]] = []
    spent: list[tuple[float, float]] = []
    for query in [*queries[:10], *queries]:
        start = time.perf_counter(), time.process_time()
        hits = index.search(query, K, filters=filters)
        end = time.perf_counter(), time.process_time()
        spent.append((1e3 * (end[0] - start[0]), 1e3 * (end[1] - start[1])))
        ids.append([hit.case.id for hit in hits])
    return ids[10:], np.array(spent[10:]).T


def rows_of(source: Source, name: str, count: int, queries: int, home: Path) -> list[dict[str, Any]]:
    """Both kinds over the same vectors; a row for each filter."""
    table, asked = write_table(source, count, home / "table.arrow"), source.queries(queries)
    exact: dict[str, tuple[list[list[str]], float]] = {}
    rows: list[dict[str, Any]] = []
    for kind in ("exact", "usearch"):
        folder = home / f"{name}-{count}-{kind}"
        start = time.perf_counter()
        index = index_for(folder, source.about, kind)
        index.add(table)
        built = time.perf_counter() - start
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for filtered, filters in FILTERS.items():
            ids, spent = timed(index, asked, filters)
            (p50, p95), (cpu_p50, cpu_p95) = np.percentile(spent, [50, 95], axis=1).T
            if kind == "exact":
                exact[filtered] = ids, float(cpu_p50)
            expected, exact_cpu = exact[filtered]
            found = sum(len({*mine} & {*theirs}) for mine, theirs in zip(ids, expected, strict=True))
            rows.append(
                {
                    "vectors": name,
                    "images": count,
                    "kind": kind,
                    "filter": filtered,
                    "recall": round(found / max(1, sum(map(len, expected))), 4),
                    "p50_ms": round(float(p50), 2),
                    "p95_ms": round(float(p95), 2),
                    "cpu_p50_ms": round(float(cpu_p50), 2),
                    "cpu_p95_ms": round(float(cpu_p95), 2),
                    "times_cheaper_than_exact": round(exact_cpu / float(cpu_p50), 1),
                    "build_seconds": round(built, 1),
                    "megabytes": round(size / 1e6),
                    "queries": queries,
                }
            )
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    print(
        "vectors     images  kind     filter  recall  p50 ms  p95 ms  CPU p95  CPU exact/this  build s     MB"
    )
    for r in rows:
        head = f"{r['vectors']:<9} {r['images']:>8}  {r['kind']:<7}  {r['filter']:<6}  {r['recall']:>6.3f}"
        speed = f"{r['p50_ms']:>6.1f}  {r['p95_ms']:>6.1f}  {r['cpu_p95_ms']:>7.1f}"
        speed += f"  {r['times_cheaper_than_exact']:>14.1f}"
        print(f"{head}  {speed}  {r['build_seconds']:>7.0f}  {r['megabytes']:>5}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument(
        "--table", type=Path, help="embeddings of phantoms; else the quickstart is run for them"
    )
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--vectors", nargs="+", default=["phantoms", "gaussian"])
    parser.add_argument("--queries", type=int, default=300)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        table = open_table(asked.table) if asked.table else quickstart_table(home)
        for name in asked.vectors:
            for count in asked.images:
                with tempfile.TemporaryDirectory(dir=home) as place:
                    rows += rows_of(Source(table, name), name, count, asked.queries, Path(place))
                print(f"{name}, {count:,} images: done", file=sys.stderr)
    if asked.json:
        json.dump(rows, sys.stdout)
        return
    show(rows)


if __name__ == "__main__":
    main()
