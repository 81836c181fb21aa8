"""How far a comparison is, on standard error, with the time left."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from medistill.compare.cell import Cell
from medistill.compare.comparison import Comparison
from medistill.compare.tuning import trial_cells
from medistill.progress import console

Told = Callable[[str, Mapping[Cell, float]], None]
"""Hears the phase and how far each of its cells is, 0..1."""


@contextmanager
def cells_bar(comparison: Comparison) -> Generator[Told]:
    """A bar over the epochs of all cells; equal time is taken for as long as equal samples at first."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[left]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("tuning", total=1.0, left="")
        clock = Clock(expected_epochs(comparison))

        def told(phase: str, shares: Mapping[Cell, float], /) -> None:
            done, total = clock.note(phase, shares)
            cells = f"{phase}: {sum(share >= 1 for share in shares.values())} of {len(shares)} cells"
            left = in_words(clock.seconds_left(done, total))
            progress.update(task, description=cells, completed=done, total=total, left=left)

        yield told


def expected_epochs(comparison: Comparison) -> dict[str, int]:
    """Epochs of each phase, as far as they are known before it starts."""
    from medistill.compare.budget import TITLES

    final = comparison.seeds * len(comparison.entrants) * comparison.recipe.epochs
    tuning = sum(cell.recipe.epochs for cell in trial_cells(comparison))
    return {"tuning": tuning, **{TITLES[budget]: final for budget in comparison.budgets}}


class Clock:
    """Epochs done and to do, and the seconds left at the pace since the start."""

    def __init__(self, expected: Mapping[str, int]):
        self.expected: dict[str, float] = dict(expected)
        self.done = dict.fromkeys(expected, 0.0)
        self.first: dict[str, float] = {}
        self.started = time.monotonic()

    def note(self, phase: str, shares: Mapping[Cell, float]) -> tuple[float, float]:
        """Take in one look at the cells of a phase; epochs done and in all, over the phases."""
        self.expected[phase] = float(sum(cell.recipe.epochs for cell in shares))
        self.done[phase] = sum(cell.recipe.epochs * share for cell, share in shares.items())
        self.first.setdefault(phase, self.done[phase])  # what an earlier run did tells nothing of the pace
        return sum(self.done.values()), sum(self.expected.values())

    def seconds_left(self, done: float, total: float) -> float | None:
        """None until something has been done."""
        gained = done - sum(self.first.values())
        return (total - done) / gained * (time.monotonic() - self.started) if gained > 0 else None


def in_words(seconds: float | None) -> str:
    """About how long, for a person."""
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"about {max(1, round(seconds))} s left"
    return f"about {minutes} min left" if minutes < 120 else f"about {minutes / 60:.1f} h left"
