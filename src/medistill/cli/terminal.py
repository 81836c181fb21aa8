"""What commands say and draw: JSON on standard output, all else on standard error."""

import json
import math
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from medistill.system.shown import on_terminal


def print_json(value: Any) -> None:
    """One line of JSON on standard output, from one rank for all."""
    if first_rank():
        print(json.dumps(value, sort_keys=True), flush=True)  # noqa: T201  # a pipe would wait for more


def say(line: str) -> None:
    """A line on standard error, from one rank for all; no word of a file is a command to a terminal."""
    if first_rank():
        print(on_terminal(line), file=sys.stderr)  # noqa: T201


def first_rank() -> bool:
    """Whether this process speaks for all that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


console = Console(stderr=True, highlight=False, quiet=not first_rank())


@contextmanager
def progress_bar(title: str, total: int | None, unit: str) -> Generator[Callable[[int], None]]:
    """A bar that is moved by calling what is yielded with the number done so far."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with bars(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task(title, total=total)

        def on_progress(done: int) -> None:
            progress.start()
            progress.update(task, completed=done)

        yield on_progress


@contextmanager
def training_bar() -> Generator[Callable[[int, int, float], None]]:
    """A bar fed by the training loop: loss, pairs per second, time left."""
    speed = TextColumn("{task.fields[speed]:>6} pairs/s  loss {task.fields[loss]}")
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), speed)
    with bars(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("training", total=None, loss="", speed="")

        def watch(pairs: int, pairs_in_all: int, loss: float) -> None:
            progress.start()
            speed = progress.tasks[0].speed
            fields: Any = {
                "loss": f"{loss:.3f}" if math.isfinite(loss) else "",
                "speed": f"{speed:.0f}" if speed else "",
            }
            progress.update(task, total=pairs_in_all, completed=pairs, **fields)

        yield watch


@contextmanager
def bars(*columns: ProgressColumn, speed_estimate_period: float = 60) -> Generator[Progress]:
    """Bars to be started once there is something to tell: a refusal comes without an empty one before it."""
    progress = Progress(*columns, console=console, speed_estimate_period=speed_estimate_period)
    try:
        yield progress
    finally:
        if progress.live.is_started:  # else it would end a line that it has not begun
            progress.stop()


@contextmanager
def stages() -> Generator[Callable[[str, int, int | None], None]]:
    """A bar for each stage, moved by calling what is yielded with (stage, done, total if it is known)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with bars(*columns, TimeRemainingColumn()) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(stage: str, done: int, total: int | None) -> None:
            progress.start()
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield on_progress
