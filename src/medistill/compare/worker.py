"""The process of one cell: train, evaluate, leave a result."""

import io
import json
import logging
import os
import resource
import signal
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from medistill.compare.cell import CONFIG, RESULT, RUN, SPENT, SPREAD, Result, failure, write_result
from medistill.compare.tested import judged_findings
from medistill.data.corpus import open_corpus
from medistill.data.folds import as_trained_on
from medistill.engine.track import best_validation, read_track, standing
from medistill.errors import CallError, MedistillError, StoppedError
from medistill.evaluate.evaluation import evaluate_model
from medistill.model.any_model import open_model
from medistill.pretrain import pretrain
from medistill.recipe import read_config
from medistill.system.atomic import write_atomically
from medistill.system.checksums import verify, write_checked
from medistill.system.json_files import read_json
from medistill.system.locks import locked
from medistill.system.memory import peak_bytes

_LONGEST = 300
"""Characters of a reason."""
_EVERY = 5.0
"""Seconds between writes of what has been spent."""


def main() -> None:
    """`python -m medistill.compare.worker FOLDER CORPUS tuning|final MIN_POSITIVES`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    folder, data, phase, min_positives = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    # One whose command was killed may still be saving.
    with locked(folder):
        if not (folder / RESULT).is_file():
            run_cell(folder, data, final=phase == "final", min_positives=min_positives)


def run_cell(folder: Path, data: Path, *, final: bool, min_positives: int = 0) -> None:
    """Train by the folder's config.json, going on from a checkpoint; evaluate on `test` if `final`.

    What training itself found out (a collapse, a loss that is no number) is the cell's outcome. Anything
    else (memory, disk, a defect) is tried again when the command is run again.
    """
    meter = Meter(folder / SPENT)
    try:
        verify(folder / CONFIG)
        pretrain(read_config(folder / CONFIG), data, folder / RUN, watch=meter)
        meter.save()
        result = {"failed": None, "retry": False, **trained(folder / RUN), **meter.spent()}
        if final:
            result["metrics"] = evaluated(folder, data, min_positives=min_positives)
    except StoppedError as error:  # no result: the cell goes on later
        meter.save()
        raise SystemExit(str(error)) from error
    except MedistillError as error:
        meter.save()
        elsewhere = isinstance(error, CallError) or error.__cause__ is not None
        result = failure(_one_line(str(error)), retry=elsewhere)
    except Exception as error:
        logging.exception("the cell failed")
        result = failure(_one_line(f"{type(error).__name__}: {error}"), retry=True)
    write_result(folder, result)


def trained(run: Path) -> Result:
    """What the run's metrics.jsonl says of it."""
    lines, best = read_track(run), best_validation(run)
    if not lines or best is None:
        raise MedistillError("the run left no validation behind")
    speeds = [line["pairs_per_second"] for line in lines if "pairs_per_second" in line]
    half_lives = [line["teacher_half_life_pairs"] for line in lines if "teacher_half_life_pairs" in line]
    return {
        "recall": standing(best, "val/")[0],
        "validation": best,
        "pairs": lines[-1]["pairs"],
        "steps": lines[-1]["step"],
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "pairs_per_second": statistics.median(speeds) if speeds else None,
        "teacher_half_life_pairs": half_lives[-1] if half_lives else None,
    }


def evaluated(folder: Path, data: Path, *, min_positives: int = 0) -> dict[str, Any]:
    """The figures of the delivered model on the test split; their resampled values go into spread.npz.

    Of folds the split of the model's own. Each fold has a seed of its own, so that folds are resampled apart.
    """
    model = open_model(folder / RUN, "auto")
    corpus = as_trained_on(open_corpus(data), model)
    seed = read_config(folder / CONFIG).fold
    judged = judged_findings(corpus, min_positives)
    evaluation = evaluate_model(model, corpus, split="test", judged=judged, seed=seed)
    write_spread(folder / SPREAD, evaluation.spread)
    return evaluation.metrics


def write_spread(path: Path, spread: Mapping[str, Float[np.ndarray, " r"]]) -> None:
    """In half the bytes: six digits are kept."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: values.astype(np.float32) for name, values in spread.items()}
    np.savez_compressed(file, **arrays)
    write_checked(path, file.getvalue())


def _one_line(text: str) -> str:
    lines = text.strip().splitlines() or ["no reason given"]
    return lines[0][:_LONGEST]


class Meter:
    """A `Watch` that counts seconds, processor seconds and peak memory of the training process.

    The cost of a pair is the median over windows of the processor time between one window's end and the
    next, so that validations and another busy process on the machine do not weigh. It leaves out
    processes that decode images.
    """

    def __init__(self, path: Path):
        self.path = path
        self.before: dict[str, Any] = read_json(path) if path.is_file() else {}
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


if __name__ == "__main__":
    main()
