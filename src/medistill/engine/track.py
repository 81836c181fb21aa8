"""What a run has measured so far, a line of JSON each."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medistill.system.checksums import SUMS, beginning, verify_beginning, write_sums
from medistill.system.journal import whole_lines

NAME = "metrics.jsonl"


class Track:
    """Appends to a run's metrics.jsonl; a resumed run cuts it back to its checkpoint first."""

    def __init__(self, run: Path, length: int = 0):
        self.path = run / NAME
        with self.path.open("ab") as file:
            length = min(length, file.tell())
            self._add_sum(length)  # before the cut: a kill between them leaves a file that fits
            file.truncate(length)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def sync(self) -> None:
        """Make sure the lines so far outlive a power cut, and give them a checksum."""
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
        self._add_sum(self.length)

    def _add_sum(self, length: int) -> None:
        write_sums(self.path.parent / SUMS, {NAME: beginning(self.path, length)})

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size


def standing(metrics: Mapping[str, Any], prefix: str = "") -> tuple[float, ...]:
    """By which of two validations is better: mean recall@10 of both directions, then the loss."""
    recall = (metrics[f"{prefix}i2t_r@10"] + metrics[f"{prefix}t2i_r@10"]) / 2
    return recall, -metrics[f"{prefix}loss"]


def read_track(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a line that a kill left unfinished is passed over."""
    path = run / NAME
    if not path.is_file():
        return []
    verify_beginning(path)
    return [json.loads(line) for line in whole_lines(path)]


def best_validation(run: Path) -> dict[str, Any] | None:
    """The line of the validation whose model the run delivers."""
    validations = [line for line in read_track(run) if "val/loss" in line]
    return max(validations, key=lambda line: standing(line, "val/"), default=None)
