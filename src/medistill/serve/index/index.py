"""The one protocol behind which all indexes stand."""

from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.serve.index.about import About
from medistill.serve.index.protocol import Index, Kind


def open_index(name: str | Path) -> Index:
    """The index in a folder or at a postgresql:// address; CallError if there is none, or it is damaged."""
    if is_address(name):
        return _postgres().opened(str(name))
    from medistill.serve.index.folder.index import FolderIndex

    return FolderIndex(Path(name))


def index_for(name: str | Path, about: About, kind: Kind | None = None) -> Index:
    """The index of that name, made if there is none for vectors of that model.

    kind   of the index to make, exact if None; CallError if it is there and of another kind
    """
    if is_address(name):
        return _postgres().opened_for(str(name), about, kind)
    from medistill.serve.index.folder.index import folder_for

    return folder_for(Path(name), about, kind)


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
