"""labels.csv while it is written: whole batches, and a journal of those that are on the disk."""

import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.system.atomic import sync_folder
from medistill.system.journal import Journal
from medistill.system.locks import being_written, locked, own_folder
from medistill.system.shown import csv_lines

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

    def __init__(self, folder: Path, call: Mapping[str, Any]) -> None:
        self.folder = folder
        self._journal = Journal(folder / _JOURNAL, folder / _ROWS)
        self.reached = Reached()
        entries = self._journal.left()
        if len(entries) > 1:
            refuse_other(entries[0], call, f"the unfinished run in {folder}")
            self.reached = Reached(**entries[-1])
        else:
            self._journal.begin(dict(sorted(call.items())), b"")

    def begin(self, header: Sequence[str]) -> None:
        """Write the header, unless it is there."""
        if not self.reached.end:
            self.append([header], Reached())

    def append(self, lines: Iterable[Sequence[str]], reached: Reached) -> None:
        """Add lines, and note once they are on the disk how far they reach."""
        self.reached = Reached(**self._journal.append(csv_lines(lines).encode(), vars(reached)))

    def finish(self, out: Path) -> None:
        """Give the table its name and remove what was needed to go on."""
        (self.folder / _ROWS).replace(out)
        sync_folder(out.parent)
        shutil.rmtree(self.folder)


@contextmanager
def unfinished_table(out: Path, call: Mapping[str, Any]) -> Generator[UnfinishedTable]:
    """What a stopped run left of `out`, or a beginning; CallError if it was called for something else.

    One run at a time: CallError if another one holds it.
    """
    folder = out.parent / f".{out.name}.partial"
    own_folder(folder)
    with locked(folder, being_written(out)):
        table = UnfinishedTable(folder, call)
        try:
            yield table
        finally:
            if not table.reached.images:
                shutil.rmtree(folder, ignore_errors=True)


def refuse_other(earlier: Mapping[str, Any], call: Mapping[str, Any], what: str) -> None:
    """CallError naming what differs between the two calls asked for."""
    differing = list(_differing(earlier, call))
    if differing:
        raise CallError(
            f"{what} is of another call (it differs in {', '.join(differing)}); "
            "give the same call again, name another --out, or remove it first"
        )


def _differing(earlier: Mapping[str, Any], call: Mapping[str, Any]) -> Iterator[str]:
    """Names of what differs, one level down where both have such a level."""
    for name in sorted({*earlier, *call}):
        old, new = earlier.get(name), call.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{name}: {part}" for part in sorted({*old, *new}) if old.get(part) != new.get(part))
        elif old != new:
            yield name
