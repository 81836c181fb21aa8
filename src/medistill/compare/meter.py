"""What training one cell costs, told after each window, kept across restarts."""

import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medistill.atomic import write_atomically
from medistill.engine.memory import peak_bytes

SPENT = "spent.json"
_EVERY = 5.0
"""Seconds between writes."""


class Meter:
    """A `Watch` that counts seconds, processor seconds and peak memory of the training process.

    The cost of a pair is the median over windows of the processor time between one window's end and the
    next, so that validations and another busy process on the machine do not weigh. It leaves out
    processes that decode images.
    """

    def __init__(self, path: Path):
        self.path = path
        self.before: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        self.started, self.cpu_started = time.monotonic(), _cpu_seconds()
        self.costs: list[float] = []
        self.share = 0.0
        self.seen: tuple[int, float] | None = None
        self.saved = time.monotonic()
        self.parent = os.getppid()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, pairs: int, pairs_in_all: int, loss: float) -> None:
        now = time.process_time()
        if self.seen is not None and pairs > self.seen[0]:
            self.costs.append(1000 * (now - self.seen[1]) / (pairs - self.seen[0]))
        self.seen, self.share = (pairs, now), pairs / pairs_in_all
        if time.monotonic() - self.saved > _EVERY:
            self.save()
            self.saved = time.monotonic()
        if os.getppid() != self.parent:  # the command was killed: nobody waits for this cell any more
            os.kill(os.getpid(), signal.SIGTERM)

    def spent(self) -> dict[str, Any]:
        """Totals over all starts; the cost of a pair comes from the start that saw most windows."""
        before = self.before
        costs = {"windows": len(self.costs), "cpu_ms_per_pair": _median(self.costs)}
        if before.get("windows", -1) >= len(self.costs):
            costs = {name: before[name] for name in costs}
        return {
            "seconds": before.get("seconds", 0.0) + time.monotonic() - self.started,
            "cpu_seconds": before.get("cpu_seconds", 0.0) + _cpu_seconds() - self.cpu_started,
            "peak_memory_bytes": max(before.get("peak_memory_bytes", 0), peak_bytes(self.device)),
            "share": self.share or before.get("share", 0.0),
            **costs,
        }

    def save(self) -> None:
        """Let a restart, and whoever draws the progress bar, know."""
        write_atomically(self.path, json.dumps(self.spent()))


def _cpu_seconds() -> float:
    """Of this process and of the children it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
