"""The account of an index folder: one small file whose replacing is the commit."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from medistill.errors import CallError
from medistill.serve.index.about import About, about_from_json
from medistill.serve.index.folder.part import damaged
from medistill.serve.index.protocol import Kind
from medistill.system.checksums import SUMS, say_without, write_checked
from medistill.system.json_files import read_json

ACCOUNT, PART = "index.json", "part-"
FORMAT = 1
"""Version of the layout; an index of another version is refused."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A part that is in force."""

    name: str
    images: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """What an index is of, and which of the folders in it are in force."""

    kind: Kind
    about: About
    parts: tuple[Entry, ...] = ()
    written: int = 0
    """How many parts were ever written: no name is used twice, which a reader might still hold."""


def write_account(folder: Path, account: Account) -> None:
    fields = {
        "format": FORMAT,
        "kind": account.kind,
        "about": account.about.as_json(folder),
        "parts": [vars(entry) for entry in account.parts],
        "written": account.written,
    }
    write_checked(folder / ACCOUNT, json.dumps(fields, indent=1) + "\n")


def read_account(folder: Path) -> Account:
    """CallError where there is no index, or one that cannot be read."""
    if not folder.is_dir():
        raise CallError(f"no such folder: {folder}; `medistill index TABLE --out INDEX` writes an index")
    if not (folder / ACCOUNT).exists():
        raise CallError(f"not an index: {folder} holds no {ACCOUNT}; `medistill index` writes one")
    fields = read_json(folder / ACCOUNT, str(damaged(folder, f"{ACCOUNT} cannot be read as JSON")))
    if not (folder / SUMS).exists():
        say_without(folder)
    version = fields.get("format") if isinstance(fields, dict) else None
    if version != FORMAT:
        raise CallError(
            f"the index {folder} is of format {version}, expected {FORMAT}: index its tables again"
        )
    try:
        return _account(fields, folder)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise damaged(folder, f"{ACCOUNT} lacks what it must tell") from None


def _account(fields: dict[str, Any], folder: Path) -> Account:
    if fields["kind"] not in get_args(Kind):
        raise ValueError(fields["kind"])
    return Account(
        kind=fields["kind"],
        about=about_from_json(fields["about"], folder),
        parts=tuple(_entry(entry) for entry in fields["parts"]),
        written=int(fields["written"]),
    )


def _entry(fields: dict[str, Any]) -> Entry:
    """ValueError for a name that would lead out of the index."""
    if not re.fullmatch(PART + r"\d+", fields["name"]):
        raise ValueError(fields["name"])
    return Entry(name=fields["name"], images=int(fields["images"]))
