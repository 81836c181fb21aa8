"""Speed and memory of bootstrap intervals of AUROC against a loop over scikit-learn, in one process.

    python benchmarks/intervals.py [--json]

Cases of two a patient, labels of 2 to 40 % positives; AUROC of every label and their mean in every resample.
The loop is timed on a few resamples, in turn with ours; the ratio is that of the seconds of processor time a
resample. Seconds are information: they depend on the machine, the ratio much less.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from medistill.evaluate.statistics.auroc import auroc
from medistill.evaluate.statistics.interval import (
    Metrics,
    figure,
    log_odds,
    mean_defined,
    patient_weights,
)
from medistill.evaluate.statistics.resample import resampled


def drawn(cases: int, labels: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores, labels, and the patient of each case."""
    rng = np.random.default_rng(0)
    present = rng.random((cases, labels)) < np.geomspace(0.02, 0.4, labels)
    return rng.standard_normal((cases, labels)) + present, present, [f"{i // 2:06d}" for i in range(cases)]


def areas(scores: np.ndarray, present: np.ndarray, patients: Sequence[str], weights: np.ndarray) -> Metrics:
    """The AUROC of each label and their mean."""
    found = [auroc(s, p, weights) for s, p in zip(scores.T, present.T, strict=True)]
    entries = {f"auroc/{f}": figure(area, patients, interval=log_odds) for f, area in enumerate(found)}
    return entries | {"auroc_macro": figure(mean_defined(np.stack(found)), patients, interval=log_odds)}


def ours(scores: np.ndarray, present: np.ndarray, patients: Sequence[str], resamples: int) -> float:
    """Processor seconds of all intervals, draws included."""
    start = time.process_time()
    resampled(lambda w: areas(scores, present, patients, w), patients, resamples=resamples, seed=0)
    return time.process_time() - start


def loop(scores: np.ndarray, present: np.ndarray, patients: Sequence[str], resamples: int) -> float:
    """Processor seconds of scikit-learn over the same resamples, a call each label and resample."""
    weights = patient_weights(patients, resamples, seed=0)[:, 1:]
    start = time.process_time()
    for weight in weights.T:
        kept = weight > 0
        for s, p in zip(scores.T, present.T, strict=True):
            roc_auc_score(p[kept], s[kept], sample_weight=weight[kept])
    return time.process_time() - start


def row(cases: int, labels: int, resamples: int, few: int) -> dict[str, float]:
    data = drawn(cases, labels)
    ours(*data, few)
    wall = time.perf_counter()
    seconds = ours(*data, resamples)
    wall = time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    one_by_one = loop(*data, few)
    return {
        "cases": cases,
        "labels": labels,
        "resamples": resamples,
        "times_faster": round(one_by_one / few * resamples / seconds, 1),
        "cpu_seconds": round(seconds, 1),
        "wall_seconds": round(wall, 1),
        "loop_cpu_seconds_a_resample": round(one_by_one / few, 4),
        "peak_memory_mb": round(peak / 1e6),
        "weights_at_once_mb": round(4e-6 * cases * resamples),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--cases", type=int, nargs="+", default=[1_000, 25_000])
    parser.add_argument("--labels", type=int, default=14)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=10, help="resamples of the loop")
    asked = parser.parse_args()
    table = [row(cases, asked.labels, asked.resamples, asked.few) for cases in asked.cases]
    if asked.json:
        json.dump(table, sys.stdout)
        return
    print("cases   labels  resamples  times faster  CPU s  wall s  peak MB  all weights MB")
    for r in table:
        head = f"{r['cases']:>6}  {r['labels']:>6}  {r['resamples']:>9}  {r['times_faster']:>12}"
        spent = f"{r['cpu_seconds']:>5}  {r['wall_seconds']:>6}  {r['peak_memory_mb']:>7}"
        print(f"{head}  {spent}  {r['weights_at_once_mb']:>14}")


if __name__ == "__main__":
    main()
