"""How the text of a table is laid out: its encoding, and what separates its cells."""

import codecs
import csv
import itertools
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from medistill.errors import CallError

_SEPARATORS = (",", ";", "\t", "|")
"""Those that are read, the one before going first where two do as well."""
_OTHERS = {
    ":": "`:`",
    "^": "`^`",
    "~": "`~`",
    "\x1f": "the character 1F",
    "\x01": "the character 01",
    " ": "blanks",
}
_SAID = re.compile(r'"?sep=([^"\r\n])"?[;,\t|]*[\r\n]*', re.IGNORECASE)  # Excel's own first line
_ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # "Unicode text" of spreadsheets


class Layout(NamedTuple):
    """What a reader must know before the first record."""

    separator: str = ","
    skipped: int = 0
    """Lines before the header."""


def encoding_of(start: bytes) -> str:
    """By the first two bytes; UTF-8 where they say nothing."""
    return _ENCODINGS.get(start, "utf-8-sig")


def layout_of(lines: Iterable[str], known: Collection[str]) -> Layout:
    """From a first line `sep=;`, or else by the separator that finds most names in the header.

    known   names that a header may hold, in lower case
    Raises CallError for a separator that cannot be read.
    """
    lines = iter(lines)
    first = next(lines, "")
    if said := _SAID.fullmatch(first):
        if said[1] not in _SEPARATORS:
            raise CallError(f"its line `sep=` names {_named(said[1])} as the separator: save it with commas")
        return Layout(said[1], 1)
    header = next((line for line in (first, *itertools.islice(lines, 100)) if line.strip()), "")
    separator = max(_SEPARATORS, key=lambda mark: _names(header, mark, known))
    if len(_cells(header, separator)) < 2:
        for mark in _OTHERS:
            if _names(header, mark, known)[0] > 1:
                raise CallError(f"its columns are separated by {_named(mark)}: save it with commas")
    return Layout(separator)


def _names(header: str, separator: str, known: Collection[str]) -> tuple[int, int]:
    """How many cells are known names of columns, and how many cells there are."""
    cells = _cells(header, separator)
    return sum(cell.strip().lower() in known for cell in cells), len(cells)


def _cells(header: str, separator: str) -> list[str]:
    return next(csv.reader([header], delimiter=separator), [])


def _named(mark: str) -> str:
    return _OTHERS.get(mark, f"`{mark}`" if mark.isprintable() else f"the character {ord(mark):02X}")
