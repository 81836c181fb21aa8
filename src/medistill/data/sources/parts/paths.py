"""Where the file lies that a cell of a table names."""

import re
from pathlib import Path
from urllib.parse import unquote

from medistill.errors import MedistillError

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_DRIVE = re.compile(r"[a-z]:[\\/]", re.IGNORECASE)


def named_file(folder: Path, name: str) -> Path:
    """The file of that name below the folder, its parts separated by `/` or, where there is no such, by `\\`.

    Raises MedistillError for an address on a network and for a place on a Windows machine.
    """
    scheme = _URL.match(name)
    if scheme and scheme[1].lower() == "file":
        return Path("/", unquote(name[scheme.end() :].partition("/")[2]))
    if scheme:
        raise MedistillError(
            f"image named by a URL ({scheme[1].lower()}): fetch the files, and name them by their paths"
        )
    path = folder / name
    if not ("\\" in name or _DRIVE.match(name)) or _is_there(path):
        return path
    if _DRIVE.match(name) or name.startswith("\\\\"):
        where = "server" if name.startswith("\\\\") else "drive"
        raise MedistillError(
            f"image named by a path of Windows with a {where}: name it relative to the table's folder"
        )
    return folder / with_slashes(name)


def with_slashes(name: str) -> str:
    """A name with `\\` between its parts, as Windows writes it, with `/` there."""
    return name.replace("\\", "/")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name no file system takes
        return False
