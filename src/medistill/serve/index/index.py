"""Indexes by their name: opened, made, filled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.serve.index.about import About
from medistill.serve.index.protocol import Index, Kind
from medistill.serve.index.table import open_table
from medistill.system.private import private_files
from medistill.system.progress import Progress


def open_index(name: str | Path) -> Index:
    """The index in a folder or at a postgresql:// address; CallError if there is none, or it is damaged."""
    if is_address(name):
        return _postgres().opened(str(name))
    from medistill.serve.index.folder.index import FolderIndex

    return FolderIndex(Path(name))


@private_files()
def index_for(name: str | Path, about: About, kind: Kind | None = None) -> Index:
    """The index of that name, made if there is none for vectors of that model.

    kind   of the index to make, exact if None; CallError if it is there and of another kind
    """
    if is_address(name):
        return _postgres().opened_for(str(name), about, kind)
    from medistill.serve.index.folder.index import folder_for

    return folder_for(Path(name), about, kind)


@private_files()
def fill(
    out: str | Path, table: Path | None, *, kind: Kind | None, delete: Sequence[str], on_progress: Progress
) -> dict[str, Any]:
    """`medistill index`: delete studies, add a table, make the index first if there is none.

    Returns what is in it then.
    """
    if table is None and not delete:
        raise CallError("nothing to do: give a TABLE to add, or --delete STUDY_ID ...")
    opened = open_table(table) if table is not None else None
    index = open_index(out) if opened is None else index_for(out, opened.about, kind)
    try:
        before = len(index)
        deleted = index.delete(delete) if delete else 0
        added = 0 if opened is None else index.add(opened, on_progress=on_progress)
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


def is_address(name: str | Path) -> bool:
    """Whether the name is one of a database; any other is a folder's."""
    return str(name).startswith(("postgresql:", "postgres:"))


def _postgres() -> Any:
    try:
        from medistill.serve.index.postgres import index as postgres
    except ImportError:  # also where psycopg finds no libpq
        raise CallError(
            "an index in PostgreSQL needs packages that are not installed: pip install 'medistill[postgres]'"
        ) from None
    return postgres
