"""`python benchmarks/cuda.py`: one process measures, another sees to it that it comes to an end."""

import argparse
import datetime
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.on_card.results import Results, table

NEEDS_A_CARD = "benchmarks/cuda.py needs a CUDA card, and torch sees none here"
NO_CARD, BROKEN = 2, 3
"""Statuses of the process that measures: nothing to measure on, and a card that fails from here on."""
GRACE = 30.0
"""Seconds after which a row that has not ended when it should have is given up, with its process."""
NAMES = (
    *("held", "rivals", "quickstart", "throughput", "memory", "batches", "vit", "checkpointing", "micro"),
    *("plan", "embedding", "busy"),
)
"""The rows, spelled out: reading them from where they are made would import torch."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The status of the command."""
    parser = argparse.ArgumentParser(
        description=f"What a CUDA card does with the engine: {', '.join(NAMES)}."
    )
    parser.add_argument("--json", type=Path, default=Path("cuda.json"), metavar="FILE")
    parser.add_argument("--rows", nargs="+", choices=NAMES, default=NAMES, metavar="ROW")
    parser.add_argument("--minutes", type=float, default=6.0, help="for everything, imports included")
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.until:
        return measure(options.rows, options.json, options.until)
    options.json.unlink(missing_ok=True)
    return supervise(options.rows, options.json, time.time() + 60 * options.minutes)


def supervise(names: Sequence[str], file: Path, end: float) -> int:
    """Have the rows measured; where a process dies or hangs over one, another goes on with the next."""
    waiting = list(names)
    while waiting:
        status = watched(start(waiting, file, end), file)
        results = Results.read(file)
        if lost := results.at_work():
            results.end(lost, f"its process ended with status {status}, or was ended as it took too long")
        left = [name for name in waiting if name not in results.rows]
        if status == NO_CARD or len(left) == len(waiting):  # not one row was begun: nor would the next be
            return status or 1
        waiting = left
    return 0 if any(row["entries"] for row in Results.read(file).rows.values()) else 1


def start(names: Sequence[str], file: Path, end: float) -> "subprocess.Popen[bytes]":
    """The process that measures these rows."""
    command = [sys.executable, sys.argv[0], "--rows", *names, "--json", str(file), "--until", str(end)]
    return subprocess.Popen(command)


def watched(process: "subprocess.Popen[bytes]", file: Path) -> int:
    """Its status, at its end or when its row has taken too long."""
    try:
        while process.poll() is None:
            time.sleep(0.2)
            results = Results.read(file)
            name = results.at_work()
            if name and time.time() > results.rows[name]["until"] + GRACE:
                break
    finally:
        if process.poll() is None:
            process.kill()
        status = process.wait()
    return status


def measure(names: Sequence[str], file: Path, end: float) -> int:
    """Measure these rows here, one after the other, and print each as it is done."""
    import torch

    if not torch.cuda.is_available():
        print(NEEDS_A_CARD, file=sys.stderr)
        return NO_CARD
    from benchmarks.on_card.clock import Clock
    from benchmarks.on_card.rows import ends_of, run_row
    from benchmarks.on_card.setting import Setting

    results = Results.read(file)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(folder=Path(folder))
        results.about = about(setting)
        for place, name in enumerate(names):
            clock = Clock(ends_of(list(names[place:]), end, time.time()))
            run_row(name, setting, clock, results)
            tell(name, results)
            try:
                torch.cuda.synchronize()
            except RuntimeError:  # a kernel has failed: this process can use the card no more
                return BROKEN
    return 0


def about(setting) -> dict[str, object]:
    """Card, versions, date."""
    import torch

    device, cuda = setting.device, setting.device.type == "cuda"
    card = torch.cuda.get_device_properties(device) if cuda else None
    libraries = ("torch", "transformers", "lightning-fabric")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "card": card.name if card else "none",
        "card_gb": round(card.total_memory / 1e9, 1) if card else None,
        "cuda": torch.version.cuda,
        "cores": os.cpu_count(),
        "precision": str(setting.fabric.strategy.precision.precision),
        **{name: importlib.metadata.version(name) for name in libraries},
    }


def tell(name: str, results: Results) -> None:
    """One row as a Markdown table."""
    row = results.rows[name]
    print(f"\n## {name}, {row['ended'] - row['began']:.0f} s\n")
    print("\n".join(table(row["entries"])))
    if row["note"]:
        print(row["note"])
    sys.stdout.flush()
