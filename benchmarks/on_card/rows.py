"""The rows by name, in the order in which they matter; those for which no time is left say so."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from benchmarks.on_card import training, whole
from benchmarks.on_card.clock import Clock, OutOfTimeError
from benchmarks.on_card.measure import free, reason
from benchmarks.on_card.results import Entry, Results
from benchmarks.on_card.setting import Setting

NO_TIME = "not measured, or not all of it: no time was left"


class Row(NamedTuple):
    """A table of docs/benchmarks.md."""

    measure: Callable[[Setting, Clock], Iterator[Entry]]
    seconds: float
    """Most it may take."""
    kept: bool = False
    """Whether its time is kept for it whatever comes before."""


ROWS: Mapping[str, Row] = {
    "held": Row(training.held, 30),
    "rivals": Row(training.rivals, 80),
    "quickstart": Row(whole.quickstart, 45),
    "throughput": Row(training.throughput, 70),
    "memory": Row(training.memory, 90),
    "batches": Row(training.batches, 30),
    "vit": Row(training.vit, 30),
    "checkpointing": Row(training.checkpointing, 30),
    "micro": Row(training.micro_batches, 40),
    "plan": Row(whole.plan, 45),
    "embedding": Row(whole.embedding, 30),
    # Last: what takes down kernels can slow down launches for as long as the process lives.
    "busy": Row(training.busy, 35, kept=True),
}


def run_row(name: str, setting: Setting, clock: Clock, results: Results) -> None:
    """Measure one row into `results`, whatever becomes of it."""
    results.begin(name, clock.until)
    note = ""
    try:
        for entry in ROWS[name].measure(setting, clock):
            results.add(name, entry)
    except OutOfTimeError:
        note = NO_TIME
    except Exception as error:
        note = reason(error)
    free()
    results.end(name, note)


def ends_of(names: list[str], end: float, now: float) -> float:
    """When the first of these rows must be done: what is kept for the others is not its own."""
    kept = sum(ROWS[name].seconds for name in names[1:] if ROWS[name].kept)
    return min(now + ROWS[names[0]].seconds, end - kept)
