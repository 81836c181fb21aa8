"""What was measured, in a file that is whole after every figure, and as tables."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
"""What was measured, by the names of its columns; `note` says why something was not."""


@dataclass
class Results:
    """Rows by name, each with its entries; `file` holds the same."""

    file: Path
    about: Entry = field(default_factory=dict[str, Any])
    """Card, versions, date."""
    rows: dict[str, Entry] = field(default_factory=dict[str, Entry])

    @classmethod
    def read(cls, file: Path) -> "Results":
        """Those of a file, or none."""
        try:
            held = json.loads(file.read_text())
        except (OSError, ValueError):
            return cls(file)
        return cls(file, held["about"], held["rows"])

    def write(self) -> None:
        """Put the file in the place of the one before, which is whole until then."""
        beside = self.file.with_name(f".{self.file.name}.new")
        beside.write_text(json.dumps({"about": self.about, "rows": self.rows}, indent=1) + "\n")
        beside.replace(self.file)

    def begin(self, name: str, until: float) -> None:
        """The row is at work, till `until` at the latest."""
        self.rows[name] = {"began": time.time(), "until": until, "ended": None, "note": "", "entries": []}
        self.write()

    def add(self, name: str, entry: Entry) -> None:
        """One more line of the row's table."""
        self.rows[name]["entries"].append(entry)
        self.write()

    def end(self, name: str, note: str) -> None:
        """The row is done, or `note` says what is missing."""
        self.rows[name] |= {"ended": time.time(), "note": note}
        self.write()

    def at_work(self) -> str:
        """The row that has begun and not ended; empty if there is none."""
        return next((name for name, row in self.rows.items() if row["ended"] is None), "")


def table(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A Markdown table with a column for every name that occurs."""
    if not entries:
        return []
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    head = [_line([name.replace("_", " ") for name in names]), "|---" * len(names) + "|"]
    return [*head, *(_line([shown(entry.get(name)) for name in names]) for entry in entries)]


def shown(value: Any) -> str:
    """A figure to three places or in full thousands; nothing for what is not there."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
