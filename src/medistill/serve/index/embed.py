"""Embed a corpus: the table that indexes are filled from."""

import contextlib
import itertools
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Float32, Int

from medistill import __version__
from medistill.data.ahead import Ahead
from medistill.data.corpus import Corpus, Rows, corpus_hash, open_corpus
from medistill.data.study import NO_REPORT
from medistill.errors import CallError, MedistillError
from medistill.model.any_model import open_model
from medistill.model.embedder import UnitEmbedder
from medistill.model.fingerprint import model_hash
from medistill.model.remembering import Remembering
from medistill.serve.index.about import About, Origin
from medistill.serve.index.table import CASE_COLUMNS, case_fields, open_table, table_schema
from medistill.system.checksums import checked_file, sums_alone
from medistill.system.locks import being_written, locked, own_folder
from medistill.system.private import private_files
from medistill.system.progress import Progress, counted

log = logging.getLogger(__name__)
pc: Any = pyarrow.compute  # makes its functions when it is imported, unseen by pyright
_ROWS = 1024
"""Of a record batch, and held in memory."""


@private_files()
def embed(
    model: str | Path, data: Path, out: Path, *, device: str = "auto", on_progress: Progress | None = None
) -> dict[str, Any]:
    """Write the table of all rows of a corpus, whatever their split; returns what it is.

    A run that was stopped goes on where it was: what it had embedded lies in a hidden folder beside `out`
    until the table is whole. A finished table of the same call is left as it is; CallError for another file.
    """
    corpus, opened = open_corpus(data), open_model(model, device)
    about = _about(model, opened, corpus)
    partial = out.with_name(f".{out.name}.embeddings")
    if out.exists():
        _check_same(out, about)
        log.info("%s is complete, and of the same call: nothing to do", out)
    else:
        own_folder(partial)
        with locked(partial, being_written(out)):
            _write(out, about, Remembering(opened, partial), corpus, on_progress)
    shutil.rmtree(partial, ignore_errors=True)
    images = len(open_table(out))
    if left_out := corpus.table.num_rows - images:
        log.warning(
            "%s images of the corpus cannot be read and are left out: `medistill check` lists them", left_out
        )
    return _told(about, images, out)


def absolute_model(name: str | Path) -> str:
    """The name of a model, so that it means the same in any working directory."""
    kind, _, rest = str(name).partition(":")
    if kind in ("hf", "onnx"):
        return f"{kind}:{Path(rest).absolute()}" if Path(rest.removesuffix(":int8")).is_dir() else str(name)
    return str(Path(name).absolute()) if Path(name).exists() else str(name)


def _about(model: str | Path, opened: Any, corpus: Corpus) -> About:
    """What the table will be; the width is that of a word."""
    embedder = UnitEmbedder(opened)
    sha256 = model_hash(opened)
    assert sha256 is not None, "open_model gives models with weights"
    return About(
        model=absolute_model(model),
        model_sha256=sha256,
        preprocessing=embedder.preprocessing,
        scale=embedder.scale,
        dim=embedder.encode_texts(["normal"]).shape[1],
        corpora=(
            Origin(
                path=str(corpus.path.absolute()),
                sha256=corpus_hash(corpus),
                findings=corpus.findings,
                phantoms=corpus.card.get("source") == "phantom",
            ),
        ),
    )


def _check_same(out: Path, about: About) -> None:
    # As a file there would say it: where a model lay is not always told whole.
    if open_table(out).about.as_json(out.parent) != about.as_json(out.parent):
        raise CallError(f"{out} is there and of another model or corpus: name another --out")


def _write(
    out: Path, about: About, embedder: Remembering, corpus: Corpus, on_progress: Progress | None
) -> None:
    schema, total = table_schema(about, out.parent), corpus.table.num_rows
    tell = counted(on_progress, "embedding", total)
    with checked_file(out, sums_alone(out)) as file, pa.ipc.new_file(file, schema) as writer:
        for batch in _batches(schema, about, embedder, corpus):
            writer.write_batch(batch)
            tell(batch.num_rows)


def _batches(
    schema: pa.Schema, about: About, embedder: Remembering, corpus: Corpus
) -> Iterator[pa.RecordBatch]:
    total = corpus.table.num_rows
    parts = [np.arange(start, min(start + _ROWS, total)) for start in range(0, total, _ROWS)]
    with Ahead(Rows(corpus, np.arange(total)), size=embedder.square, most=total) as rows:
        for part, following in itertools.zip_longest(parts, parts[1:], fillvalue=np.arange(0)):
            some, images = _embedded(part, rows, embedder)
            with contextlib.suppress(MedistillError):  # it comes again when they are embedded
                embedder.expect_rows(rows, following)  # decoded while texts are embedded
            if not len(some):
                continue
            cells = case_cells(corpus, int(part[0]), len(part), about.findings)
            if len(some) < len(part):
                cells = [cell.take(pa.array(some - part[0])) for cell in cells]
            texts = cells[CASE_COLUMNS.index("text")].to_pylist()
            columns = [*cells, pa.array(some), _vectors(images), _text_vectors(texts, embedder, about.dim)]
            yield pa.record_batch(columns, schema=schema)


def _embedded(
    part: np.ndarray, rows: Ahead, embedder: Remembering
) -> tuple[Int[np.ndarray, " n"], Float32[np.ndarray, "n d"]]:
    """Those of some rows whose images can be read, with their vectors: one image never ends the whole."""
    try:
        return part, embedder.encode_rows(rows, part)
    except MedistillError:
        some = np.array([row for row in part.tolist() if _is_readable(rows, row)], np.int64)
        return some, embedder.encode_rows(rows, some)


def _is_readable(rows: Ahead, row: int) -> bool:
    try:
        rows.decoded(row)
    except MedistillError:
        return False
    return True


def case_cells(corpus: Corpus, start: int, count: int, findings: tuple[str, ...]) -> list[pa.Array]:
    """What the corpus says of these rows, as the columns of `case_fields`."""
    part = corpus.table.slice(start, count)
    cells: list[pa.Array] = []
    for name, kind in case_fields(findings):
        if name not in part.column_names:  # a corpus of an older version
            cells.append(pa.nulls(count, kind))
            continue
        column = pa.chunked_array(part[name].chunks, part.schema.field(name).type).combine_chunks()
        if name == "text":
            column = pc.if_else(pc.equal(column, NO_REPORT), pa.scalar(None, pa.string()), column)
        cells.append(column.cast(kind))
    return cells


def _text_vectors(texts: list[str | None], embedder: Remembering, dim: int) -> pa.Array:
    there = np.array([text is not None for text in texts])
    vectors = np.zeros((len(texts), dim), np.float32)
    if there.any():
        vectors[there] = embedder.encode_texts([text for text in texts if text is not None])
    return _vectors(vectors, ~there)


def _vectors(vectors: np.ndarray, null: np.ndarray | None = None) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    mask = None if null is None else pa.array(null)
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=mask)


def _told(about: About, images: int, out: Path) -> dict[str, Any]:
    origin = about.corpora[0]
    return {
        "medistill": __version__,
        "table": str(out),
        "images": images,
        "dim": about.dim,
        "model_sha256": about.model_sha256,
        "corpus_sha256": origin.sha256,
        "findings": list(origin.findings),
    }
