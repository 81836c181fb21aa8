"""What a run has measured so far, a line of JSON each."""

import json
from pathlib import Path
from typing import Any

NAME = "metrics.jsonl"


class Track:
    """Appends to a run's metrics.jsonl; a resumed run cuts it back to its checkpoint first."""

    def __init__(self, run: Path, length: int = 0):
        self.path = run / NAME
        with self.path.open("ab") as file:
            file.truncate(length)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size


def read_track(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl, none if there is no such file."""
    path = run / NAME
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
