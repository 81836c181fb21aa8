"""Seconds, peaks and the card's own work of what trains."""

import gc
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch

from benchmarks.on_card.clock import Clock, OutOfTimeError
from benchmarks.on_card.entrant import cut
from benchmarks.on_card.results import Entry
from medistill.data.loader import Window

SETUP = 6.0
"""Seconds in which an entrant is made and has seen its first window, at most."""
NO_ROOM = "does not fit this card"
GB = 1e9


class Trains(Protocol):
    """An entrant, ours or a rival's."""

    def train(self, window: Window) -> None:
        """Go through a window, optimizer steps included."""
        ...


def free() -> None:
    """Give back what nothing holds any more, so that the next peak begins at nothing."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """What it takes, the device's work included."""
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def peaks_of(run: Callable[[], object], device: torch.device) -> Entry:
    """Most memory of the card while it runs, what was there before included; nothing to say of a CPU.

    Reserved is what the card must have: what graphs replay does not show in what is allocated.
    """
    if device.type != "cuda":
        run()
        return {"reserved_gb": None, "allocated_gb": None}
    torch.cuda.synchronize(device)
    free()
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return {
        "reserved_gb": torch.cuda.max_memory_reserved(device) / GB,
        "allocated_gb": torch.cuda.max_memory_allocated(device) / GB,
    }


@contextmanager
def held_to(gigabytes: float, device: torch.device) -> Generator[None]:
    """No more of the card for this process than that."""
    if device.type != "cuda":
        yield
        return
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gigabytes * GB / whole), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def tried(what: Mapping[str, object], measure: Callable[[], Entry]) -> Entry:
    """What was measured of `what`, or why it was not; nothing of it stays in memory."""
    try:
        return {**what, **measure()}
    except OutOfTimeError:
        raise
    except Exception as error:
        note = reason(error)
    finally:
        free()
    return {**what, "note": note}


def reason(error: BaseException) -> str:
    """Why something was not measured, in a line; what was not foreseen is told in full on stderr."""
    if isinstance(error, torch.OutOfMemoryError):
        return NO_ROOM
    if isinstance(error, ModuleNotFoundError):
        return f"not measured: no module {error.name}"
    traceback.print_exception(error, file=sys.stderr)
    lines = str(error).strip().splitlines() or [""]
    return f"failed: {type(error).__name__}: {lines[0][:200]}"


def race(
    makers: Mapping[str, Callable[[], Trains]],
    window: Window,
    *,
    micro: int,
    turns: int,
    clock: Clock,
    device: torch.device,
) -> list[Entry]:
    """Pairs a second of each entrant, all in memory and taking turns, and how often the first's speed it has.

    Medians over the turns, the ratio's too; a turn for which there is no time is not begun. The order turns
    round each time. An entrant that cannot be made or does not fit beside the others says so.
    """
    ready, notes = made_ready(makers, cut(window, min(4 * micro, len(window))), clock)
    taken: dict[str, list[float]] = {name: [] for name in ready}
    for turn in range(turns):
        began = clock.left
        for name in list(reversed(ready) if turn % 2 else ready):
            one = ready[name]
            entry = tried({}, lambda one=one: {"seconds": seconds_of(lambda: one.train(window), device)})
            if "note" in entry:
                notes[name] = entry["note"]
                del ready[name], one
            else:
                taken[name].append(entry["seconds"])
        if clock.left < began - clock.left:
            break
    first = next(iter(makers))
    return [
        {"what": name, "note": notes[name]}
        if name in notes
        else {
            "what": name,
            **speeds(taken[name], taken.get(first, []), len(window)),
            "captured": getattr(ready[name], "captured", "no"),
        }
        for name in makers
    ]


def made_ready(
    makers: Mapping[str, Callable[[], Trains]], first: Window, clock: Clock
) -> tuple[dict[str, Trains], dict[str, str]]:
    """The entrants once moments, libraries and graphs are there, and why others are not among them."""
    ready: dict[str, Trains] = {}
    notes: dict[str, str] = {}
    for name, make in makers.items():
        if clock.left < SETUP * (1 + len(ready) / 4):
            notes[name] = "not measured: no time was left"
            continue

        def warm(make: Callable[[], Trains] = make) -> Entry:
            one = make()
            one.train(first)
            one.train(first)
            return {"ready": one}

        made = tried({}, warm)
        if "ready" in made:
            ready[name] = made["ready"]
        else:
            notes[name] = made["note"]
    return ready, notes


def speeds(taken: list[float], of_first: list[float], pairs: int) -> Entry:
    """Of turns that took so many seconds, beside those of the first entrant in the same turns."""
    entry: Entry = {"pairs_per_second": pairs / statistics.median(taken), "turns": len(taken)}
    ratios = [first / own for first, own in zip(of_first, taken, strict=False)]
    return entry | {"times_the_first": statistics.median(ratios) if ratios else None}


def kernel_seconds(run: Callable[[], object], device: torch.device) -> float | None:
    """How long the card was at work meanwhile, overlaps counted once; None where no kernel was seen."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    card = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if card else ProfilerActivity.CPU]) as seen:
        run()
        synchronize(device)
    on = DeviceType.CUDA if card else DeviceType.CPU
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in seen.events()
        # A range that code marks as its own has gaps in it.
        if event.device_type == on and not getattr(event, "is_user_annotation", False)
    ]
    return covered(spans) / 1e6 or None


def covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of some spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
