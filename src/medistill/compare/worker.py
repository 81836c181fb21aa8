"""The process of one cell: train, evaluate, leave a result."""

import fcntl
import io
import logging
import os
import statistics
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from medistill.atomic import write_atomically
from medistill.compare.cell import CONFIG, RESULT, RUN, SPREAD, Result, failure, write_result
from medistill.compare.meter import SPENT, Meter
from medistill.data.corpus import open_corpus
from medistill.engine.track import best_validation, read_track, standing
from medistill.errors import CallError, MedistillError, StoppedError
from medistill.evaluate.evaluation import evaluate_model
from medistill.model.saved import load
from medistill.pretrain import pretrain
from medistill.recipe import read_config

_LONGEST = 300
"""Characters of a reason."""


def main() -> None:
    """`python -m medistill.compare.worker FOLDER CORPUS tuning|final`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    folder, data, phase = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    with waited_for(folder):
        if not (folder / RESULT).is_file():
            run_cell(folder, data, final=phase == "final")


@contextmanager
def waited_for(folder: Path) -> Generator[None]:
    """Wait until no other process works on the cell: one whose command was killed may still be saving."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def run_cell(folder: Path, data: Path, *, final: bool) -> None:
    """Train by the folder's config.json, going on from a checkpoint; evaluate on `test` if `final`.

    What training itself found out (a collapse, a loss that is no number) is the cell's outcome. Anything
    else (memory, disk, a defect) is tried again when the command is run again.
    """
    meter = Meter(folder / SPENT)
    try:
        pretrain(read_config(folder / CONFIG), data, folder / RUN, watch=meter)
        meter.save()
        result = {"failed": None, "retry": False, **trained(folder / RUN), **meter.spent()}
        if final:
            result["metrics"] = evaluated(folder, data)
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
    half_lives = [line["teacher_half_life_pairs"] for line in lines if "teacher_half_life_pairs" in line]
    return {
        "recall": standing(best, "val/")[0],
        "validation": best,
        "pairs": lines[-1]["pairs"],
        "steps": lines[-1]["step"],
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "pairs_per_second": _median_of(lines, "pairs_per_second"),
        "teacher_half_life_pairs": half_lives[-1] if half_lives else None,
    }


def evaluated(folder: Path, data: Path) -> dict[str, Any]:
    """The figures of the delivered model on the test split; their resampled values go into spread.npz."""
    evaluation = evaluate_model(load(folder / RUN), open_corpus(data), split="test")
    write_spread(folder / SPREAD, evaluation.spread)
    return evaluation.metrics


def write_spread(path: Path, spread: Mapping[str, Float[np.ndarray, " r"]]) -> None:
    """In half the bytes: six digits are kept."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: values.astype(np.float32) for name, values in spread.items()}
    np.savez_compressed(file, **arrays)
    write_atomically(path, file.getvalue())


def _median_of(lines: list[dict[str, Any]], name: str) -> float | None:
    values = [line[name] for line in lines if name in line]
    return statistics.median(values) if values else None


def _one_line(text: str) -> str:
    lines = text.strip().splitlines() or ["no reason given"]
    return lines[0][:_LONGEST]


if __name__ == "__main__":
    main()
