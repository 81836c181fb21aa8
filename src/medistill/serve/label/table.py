"""labels.csv while it is written: whole batches, and a journal of those that are on the disk."""

import csv
import io
import json
import os
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.system.atomic import sync_folder
from medistill.system.journal import append_durably
from medistill.system.locks import hold

_ROWS, _JOURNAL = "rows.csv", "journal"


@dataclass(frozen=True)
class Reached:
    """How far the table is."""

    images: int = 0
    end: int = 0
    """Bytes of the table."""
    unreadable: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many images could not be read, by reason."""
    present: Mapping[str, int] = field(default_factory=dict[str, int])
    """In how many images each finding was said to be present."""


class UnfinishedTable:
    """The hidden folder beside labels.csv. What a kill leaves half written is cut off."""

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self.folder = folder
        self.reached = Reached()
        kept = self._kept(asked)
        if kept is None:
            (folder / _ROWS).write_bytes(b"")
            (folder / _JOURNAL).write_text(json.dumps(asked, sort_keys=True) + "\n")
        else:
            self.reached = kept
            os.truncate(folder / _ROWS, kept.end)

    def begin(self, header: Sequence[str]) -> None:
        """Write the header, unless it is there."""
        if not self.reached.end:
            self.append([header], Reached())

    def append(self, lines: Iterable[Sequence[str]], reached: Reached) -> None:
        """Add lines, and note once they are on the disk how far they reach."""
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(lines)
        append_durably(self.folder / _ROWS, text.getvalue().encode())
        noted = replace(reached, end=(self.folder / _ROWS).stat().st_size)
        append_durably(self.folder / _JOURNAL, (json.dumps(vars(noted)) + "\n").encode())
        self.reached = noted

    def finish(self, out: Path) -> None:
        """Give the table its name and remove what was needed to go on."""
        (self.folder / _ROWS).replace(out)
        sync_folder(out.parent)
        shutil.rmtree(self.folder)

    def _kept(self, asked: Mapping[str, Any]) -> Reached | None:
        """How far a run that was stopped came; None where nothing of use is left of one."""
        rows, journal = self.folder / _ROWS, self.folder / _JOURNAL
        if not (rows.is_file() and journal.is_file()):
            return None
        whole = [line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        if len(whole) < 2:
            return None
        refuse_other(json.loads(whole[0]), asked, f"the unfinished run in {self.folder}")
        reached = Reached(**json.loads(whole[-1]))
        if rows.stat().st_size < reached.end:
            return None
        os.truncate(journal, sum(map(len, whole)))
        return reached


@contextmanager
def unfinished_table(out: Path, asked: Mapping[str, Any]) -> Generator[UnfinishedTable]:
    """What a stopped run left of `out`, or a beginning; CallError if it was asked for something else.

    One run at a time: CallError if another one holds it.
    """
    folder = out.parent / f".{out.name}.partial"
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        hold(handle, out)
        table = UnfinishedTable(folder, asked)
        try:
            yield table
        finally:
            if not table.reached.images:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def refuse_other(made: Mapping[str, Any], asked: Mapping[str, Any], what: str) -> None:
    """CallError naming what differs between what was asked for then and now."""
    differing = list(_differing(made, asked))
    if differing:
        raise CallError(
            f"{what} is of another call (it differs in {', '.join(differing)}); "
            "give the same call again, name another --out, or remove it first"
        )


def _differing(made: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Names of what differs, one level down where both have such a level."""
    for name in sorted({*made, *asked}):
        old, new = made.get(name), asked.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{name}: {part}" for part in sorted({*old, *new}) if old.get(part) != new.get(part))
        elif old != new:
            yield name
