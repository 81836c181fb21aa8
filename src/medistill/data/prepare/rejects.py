"""What was set aside and why, without giving names away."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from medistill.data.study import Reject
from medistill.system.atomic import write_atomically
from medistill.system.shown import csv_lines, written

REJECTS = "rejected.csv"


class Line(NamedTuple):
    """What is kept of a reject."""

    row: int
    reason: str
    id: str
    path: str
    """Empty unless paths may be shown."""
    skipped: bool


def path_id(path: str) -> str:
    """A name for a rejected file that does not show its path.

    The salt is fixed, so that two runs write the same file: whoever holds a list of candidate paths
    can still find out which was meant. It keeps names out of sight, it does not make them anonymous.
    """
    return hashlib.sha256(f"medistill rejected row:{path}".encode(errors="surrogatepass")).hexdigest()[:16]


class RejectLog:
    """Rejected rows of a source; their paths stay out of it unless `show_paths`.

    name   gives a path's id; of a de-identified corpus one under its secret key, which nobody can guess back
    """

    def __init__(self, show_paths: bool, name: Callable[[str], str] = path_id) -> None:
        self.show_paths, self._name = show_paths, name
        self.lines: list[Line] = []

    @property
    def count(self) -> int:
        """Those that are a fault of the source."""
        return self._reasons(skipped=False).total()

    def add(self, reject: Reject) -> None:
        path = written(reject.path) if self.show_paths else ""
        self.lines.append(Line(reject.row, reject.reason, self._name(reject.path), path, reject.skipped))

    def most_frequent(self) -> str:
        reason, _ = self._reasons(skipped=False).most_common(1)[0]
        return reason

    def card(self) -> dict[str, Any]:
        """How many rows were rejected and why; and, if there are any, how many were skipped by rule."""
        kinds = {"rejected": self._reasons(skipped=False), "skipped": self._reasons(skipped=True)}
        return {
            kind: {"count": reasons.total(), "reasons": dict(reasons.most_common())}
            for kind, reasons in kinds.items()
            if reasons or kind == "rejected"
        }

    def write(self, path: Path) -> None:
        columns = 4 if self.show_paths else 3
        lines = ([str(cell) for cell in line[:columns]] for line in self.lines)
        write_atomically(path, csv_lines([Line._fields[:columns], *lines]))

    def _reasons(self, *, skipped: bool) -> Counter[str]:
        return Counter(line.reason for line in self.lines if line.skipped == skipped)
