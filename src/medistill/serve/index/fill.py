"""`medistill index`: tables into an index, studies out of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.serve.index.index import index_for, open_index
from medistill.serve.index.protocol import Kind
from medistill.serve.index.table import open_table
from medistill.system.progress import Progress


def fill(
    out: str | Path, table: Path | None, *, kind: Kind | None, delete: Sequence[str], on_progress: Progress
) -> dict[str, Any]:
    """Delete studies, add a table, make the index first if there is none; returns what is in it then."""
    if table is None and not delete:
        raise CallError("nothing to do: give a TABLE to add, or --delete STUDY_ID ...")
    opened = open_table(table) if table else None
    index = index_for(out, opened.about, kind) if opened else open_index(out)
    try:
        before = len(index)
        deleted = index.delete(delete) if delete else 0
        added = index.add(opened, on_progress=on_progress) if opened else 0
        return {
            "index": str(out),
            "images": len(index),
            "added": added,
            "deleted": deleted,
            "replaced": before - deleted + added - len(index),
            "model_sha256": index.about.model_sha256,
            "dim": index.about.dim,
            "findings": list(index.about.findings),
        }
    finally:
        index.close()
