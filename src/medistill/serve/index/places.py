"""Where models and corpora lie, told without the folders of a machine: an index is passed on."""

import os
import re
from pathlib import Path

_ABSOLUTE = re.compile(r"([^/]*:)?(/.*)")
_RELATIVE = re.compile(r"([^/]*:)?(\.\.?(?:/.*)?)")
"""A kind of model, if the name has one, and a path: `hf:../models/a`. No hub's name begins with a dot."""


def portable(name: str, home: Path) -> str:
    """The name as it stands in a file in `home`: an absolute path becomes one from there.

    One that shares nothing with `home` but the root would be told whole: of it the last part alone is kept.
    """
    match = _ABSOLUTE.fullmatch(name)
    if not match:
        return name
    kind, path = match[1] or "", match[2]
    start = os.path.normpath(home.absolute())
    if os.path.commonpath((start, path)) == os.sep:
        return f"{kind}./{Path(path).name}"
    inside = os.path.relpath(path, start)
    return f"{kind}{inside}" if inside.startswith("..") else f"{kind}./{inside}"


def located(name: str, home: Path) -> str:
    """The name in a file in `home` as an absolute path again, or as it is if it is none.

    What is not where it should be is looked for in the working directory, by its last part.
    """
    match = _RELATIVE.fullmatch(name)
    if not match:
        return name
    kind, path = match[1] or "", os.path.normpath(home.absolute() / match[2])
    here = Path.cwd() / Path(path).name
    return f"{kind}{here if _exists(here) and not _exists(Path(path)) else path}"


def _exists(path: Path) -> bool:
    return path.with_name(path.name.removesuffix(":int8")).exists()
