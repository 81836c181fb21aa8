"""Run cells, each in a process of its own, some at once."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medistill.compare.cell import (
    RESULT,
    SPENT,
    Cell,
    failure,
    prepare_folder,
    read_result,
    remove_large,
    write_result,
)
from medistill.errors import StoppedError
from medistill.system.isolated import cores
from medistill.system.json_files import read_json

log = logging.getLogger(__name__)
Process = subprocess.Popen[bytes]
OnShares = Callable[[str, Mapping[Cell, float]], None]
"""Hears the phase of a comparison and how far each of its cells is, 0..1."""
_LOG = "log.txt"
_PAUSE = 0.1
"""Seconds between looks at the processes."""


@dataclass
class Pool:
    """Where cells run: the comparison's folder, the corpus, and how many at once."""

    out: Path
    data: Path
    jobs: int
    stopping: Callable[[], bool]
    min_positives: int = 0
    """As the comparison has it."""
    running: dict[Cell, Process] = field(default_factory=dict[Cell, Process])
    stop_sent: bool = False
    """Whether the cells at work have been asked to stop."""

    def run(self, cells: Sequence[Cell], on_shares: Callable[[Mapping[Cell, float]], None]) -> None:
        """Bring every cell to its end; one that has an outcome already is kept.

        `on_shares` hears how far each of them is, 0..1.
        StoppedError once all processes have ended if `stopping` says so.
        """
        shares = {cell: 1.0 if finished(cell, self.out) else 0.0 for cell in cells}
        waiting = [cell for cell, share in shares.items() if share < 1]
        try:
            while (waiting and not self.stopping()) or self.running:
                while waiting and len(self.running) < self.jobs and not self.stopping():
                    self._start(waiting.pop(0))
                if self.stopping():
                    self._ask_to_stop()
                shares |= {cell: self._share(cell) for cell in self._reaped()}
                on_shares({**shares, **{cell: self._share(cell) for cell in self.running}})
                time.sleep(_PAUSE)
        finally:
            for process in self.running.values():
                process.kill()
        if self.stopping():
            done = sum(finished(cell, self.out) for cell in cells)
            raise StoppedError(
                f"stopped on request; {done} of {len(cells)} cells of this phase are done, the others are "
                "saved: run the same command again to go on"
            )

    def _start(self, cell: Cell) -> None:
        folder = prepare_folder(cell, self.out)
        command = [sys.executable, "-m", "medistill.compare.worker", str(folder), str(self.data)]
        with (folder / _LOG).open("ab") as log_file:
            self.running[cell] = subprocess.Popen(
                [*command, "final" if cell.final else "tuning", str(self.min_positives)],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env={**os.environ, "OMP_NUM_THREADS": str(threads(self.jobs))},
                start_new_session=True,  # Ctrl-C reaches the command alone, which then asks each cell to save
            )

    def _ask_to_stop(self) -> None:
        """Once; a process that has yet to start training just ends."""
        for process in [] if self.stop_sent else self.running.values():
            process.terminate()
        self.stop_sent = True

    def _reaped(self) -> list[Cell]:
        """The cells whose process has ended since the last look."""
        ended = [cell for cell, process in self.running.items() if process.poll() is not None]
        for cell in ended:
            self._close(cell, self.running.pop(cell))
        return ended

    def _close(self, cell: Cell, process: Process) -> None:
        """Give a cell that died without a word its reason, unless it was asked to stop."""
        folder = cell.folder(self.out)
        if not (folder / RESULT).is_file() and not self.stopping():
            write_result(folder, failure(last_words(process.returncode, folder / _LOG), retry=True))
        result = read_result(cell, self.out)
        if result and result["failed"]:
            log.warning("%s failed: %s", cell.name, result["failed"])
        if finished(cell, self.out):
            remove_large(cell, self.out)

    def _share(self, cell: Cell) -> float:
        """How far its training is, from what it wrote last; an ended cell is at 1."""
        if cell not in self.running:
            return 1.0
        path = cell.folder(self.out) / SPENT
        return min(0.99, read_json(path).get("share", 0.0)) if path.is_file() else 0.0


def finished(cell: Cell, out: Path) -> bool:
    """Whether the cell has an outcome that stands: its figures, or a failure of training itself."""
    result = read_result(cell, out)
    return result is not None and not result["retry"]


def threads(jobs: int) -> int:
    """Threads of each process: two that share a core wait for each other by spinning."""
    return max(1, cores() // jobs)


def last_words(status: int, log_path: Path) -> str:
    """The reason of a process that left no result: its signal, or the end of its log."""
    if status < 0:
        name = signal.Signals(-status).name
        guess = "; running out of memory is the usual cause" if -status == signal.SIGKILL else ""
        return f"its process was killed by {name}{guess}"
    lines = log_path.read_text("utf-8", "replace").strip().splitlines()
    return f"its process ended with status {status}: {lines[-1] if lines else 'no message'}"
