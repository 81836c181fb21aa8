"""Write a corpus: checked, streamed, complete or not there at all."""

import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from medistill.atomic import sync_folder, write_atomically
from medistill.data.corpus import CARD, FORMAT, TABLE
from medistill.data.rejects import REJECTS, RejectLog
from medistill.data.split import check_fractions
from medistill.data.study import Reject, Study
from medistill.data.tally import Tally
from medistill.errors import CallError, MedistillError

_BATCH_ROWS, _BATCH_BYTES = 256, 32_000_000


def write_corpus(
    items: Iterable[Study | Reject],
    out: Path,
    *,
    source: str,
    made_with: Mapping[str, object],
    findings: Sequence[str] | None = None,
    val: float = 0.1,
    test: float = 0.1,
    allow_rejects: bool = False,
    show_paths: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write the studies as a corpus folder and return its card.

    Written into a hidden folder beside `out` and renamed at the end: a killed run leaves no half corpus.
    Nothing in it depends on the time or the machine, so the same input gives the same bytes.

    source        name of the kind of source, for the card
    made_with     the options it was read with, for the card
    findings      names of all findings the studies may be labeled with; None if they carry no labels
    on_progress   called with the number of images and rejects seen so far
    """
    check_fractions(val, test)
    out = out.absolute()
    partial = _partial_folder(out)
    tally, rejects = Tally(tuple(findings or ()), val=val, test=test), RejectLog(show_paths)
    try:
        rows = _rows(items, tally, rejects, on_progress)
        _write_table(rows, partial, _schema(tally.findings))
        tally.check()
        _check_rejects(rejects, tally.images, out, allow_rejects)
        made_with = {**made_with, "val": val, "test": test}
        card = {"format": FORMAT, "medistill": version("medistill"), "source": source, "made_with": made_with}
        card |= tally.card() | {"rejected": rejects.card()}
        rejects.write(partial / REJECTS)
        write_atomically(partial / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        partial.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise MedistillError(
            f"the corpus cannot be written: {error.strerror or 'input or output failed'}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return card


def _partial_folder(out: Path) -> Path:
    # Named by machine and process: another run that writes the same corpus keeps its own.
    start = f".{out.name}.{platform.node()}-"
    partial = out.parent / f"{start}{os.getpid()}.partial"
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CallError(f"{out} is there already: name another folder, or remove it first")
        for folder in _left_behind(out.parent, start):
            shutil.rmtree(folder, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise CallError(f"cannot make the folder {out}: {error.strerror}") from error
    return partial


def _left_behind(parent: Path, start: str) -> list[Path]:
    """Partial folders whose names start so, of runs that were killed."""
    named = re.compile(rf"{re.escape(start)}(\d{{1,9}})\.partial")
    folders = parent.iterdir() if parent.is_dir() else ()
    found = [(folder, named.fullmatch(folder.name)) for folder in folders]
    return [folder for folder, match in found if match and not _is_another_run(int(match[1]))]


def _is_another_run(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives, and is somebody else's
    return True


def _rows(
    items: Iterable[Study | Reject],
    tally: Tally,
    rejects: RejectLog,
    on_progress: Callable[[int], None] | None,
) -> Iterator[dict[str, Any]]:
    for item in items:
        if isinstance(item, Reject):
            rejects.add(item)
        else:
            yield from tally.rows(item)
        if on_progress:
            on_progress(tally.images + rejects.count)


def _write_table(rows: Iterable[dict[str, Any]], folder: Path, schema: pa.Schema) -> None:
    with (folder / TABLE).open("wb") as file:
        with pa.ipc.new_stream(file, schema) as stream:
            for batch in _batches(rows):
                stream.write_batch(pa.RecordBatch.from_pylist(batch, schema))
        file.flush()
        os.fsync(file.fileno())  # before the rename that makes it visible
    _describe(folder, schema)


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    held = 0
    for row in rows:
        batch.append(row)
        held += len(row["image"])
        if len(batch) == _BATCH_ROWS or held > _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _schema(findings: tuple[str, ...]) -> pa.Schema:
    def per_finding(kind: pa.DataType) -> pa.StructType:
        return pa.struct([pa.field(finding, kind) for finding in findings])

    return pa.schema(
        {
            "study_id": pa.string(),
            "patient_id": pa.string(),
            "split": pa.string(),
            "image": pa.large_binary(),
            "view": pa.string(),
            "sex": pa.string(),
            "age": pa.float32(),
            "date": pa.date32(),
            "text": pa.string(),
            "findings": pa.string(),
            "impression": pa.string(),
            "labels": per_finding(pa.int8()),
            "boxes": per_finding(pa.list_(pa.float32())),
            "mask": per_finding(pa.large_binary()),
            "source": pa.string(),
        }
    )


def _describe(folder: Path, schema: pa.Schema) -> None:
    """The two small files that let `datasets.load_from_disk` open the folder."""
    from datasets import Features  # half a second to import, and only the writer needs it

    features = Features.from_arrow_schema(schema).to_dict()
    write_atomically(folder / "dataset_info.json", json.dumps({"features": features}))
    state = {"_data_files": [{"filename": TABLE}], "_fingerprint": "0" * 16, "_split": None}
    state |= {
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
    }
    write_atomically(folder / "state.json", json.dumps(state))


def _check_rejects(rejects: RejectLog, accepted: int, out: Path, allowed: bool) -> None:
    if accepted and (allowed or rejects.count <= 0.1 * (accepted + rejects.count)):
        return
    kept = out.parent / f"{out.name}.{REJECTS}"
    rejects.write(kept)
    found = f"{rejects.count:,} of {accepted + rejects.count:,} rows rejected"
    if rejects.count:
        found += f", most often: {rejects.most_frequent()}; all are listed in {kept}"
    if not accepted:
        raise MedistillError(f"no usable row: {found}")
    raise MedistillError(
        f"{found}. More than 10 % is an error: mend the source, or go on with --allow-rejects"
    )
