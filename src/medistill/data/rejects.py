"""What was set aside and why, without giving names away."""

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

from medistill.atomic import write_atomically
from medistill.data.study import Reject

REJECTS = "rejected.csv"


class RejectLog:
    """Rejected rows of a source; their paths stay out of it unless `show_paths`."""

    def __init__(self, show_paths: bool) -> None:
        self.show_paths = show_paths
        self._rejects: list[Reject] = []

    @property
    def count(self) -> int:
        return len(self._rejects)

    def add(self, reject: Reject) -> None:
        self._rejects.append(reject)

    def most_frequent(self) -> str:
        reason, _ = self._reasons().most_common(1)[0]
        return reason

    def card(self) -> dict[str, Any]:
        return {"count": self.count, "reasons": dict(self._reasons().most_common())}

    def write(self, path: Path) -> None:
        file = io.StringIO(newline="")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["row", "reason", "id", *(["path"] if self.show_paths else [])])
        for reject in self._rejects:
            name = [reject.path] if self.show_paths else []
            table.writerow([reject.row, reject.reason, path_id(reject.path), *name])
        write_atomically(path, file.getvalue())

    def _reasons(self) -> Counter[str]:
        return Counter(reject.reason for reject in self._rejects)


def path_id(path: str) -> str:
    """A name for a rejected file that does not show its path.

    The salt is fixed, so that two runs write the same file: whoever holds a list of candidate paths
    can still find out which was meant. It keeps names out of sight, it does not make them anonymous.
    """
    return hashlib.sha256(f"medistill rejected row:{path}".encode()).hexdigest()[:16]
