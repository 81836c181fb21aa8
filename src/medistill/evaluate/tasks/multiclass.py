"""One of several classes a case: accuracy, F1, ranking, over draws of prompts."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

from medistill.evaluate.statistics.auroc import auroc
from medistill.evaluate.statistics.interval import (
    Metrics,
    best_side,
    divided,
    figure,
    log_odds,
    mean_defined,
    mean_over,
    patients_by_side,
    percentiles,
    undefined,
)
from medistill.evaluate.statistics.resample import over_draws


def standardized(scores: Float32[np.ndarray, "n c"]) -> Float32[np.ndarray, "n c"]:
    """Each class's scores less their mean, divided by their spread, over all cases: a transductive rule."""
    wide = scores.astype(np.float64)
    spread = wide.std(axis=0)
    return ((wide - wide.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)


def class_metrics(
    runs: Sequence[Float32[np.ndarray, "n c"]],
    truth: Int[np.ndarray, " n"],
    classes: Sequence[str],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
    *,
    seed: int,
) -> Metrics:
    """Means over the runs of accuracy, macro F1, recall of each class and macro AUROC, one class against all.

    Classes without a case are not defined and left out of the means; ties go to the class that comes first.
    The interval resamples runs and patients.
    """
    if not len(truth):
        return {"accuracy": undefined("no case of one class alone", patient_ids)}
    by_run = [_of_run(scores, truth, weights) for scores in runs]
    entries: Metrics = {}
    ranked = best_side(patients_by_side(patient_ids, truth == c) for c in np.unique(truth))
    for name in ("accuracy", "f1_macro", "auroc_macro"):
        values = over_draws(np.stack([figures[name] for figures in by_run]), seed=seed)
        interval = log_odds if name == "auroc_macro" else percentiles
        why = "needs cases of two classes"
        sides = ranked if name == "auroc_macro" else None
        entries[name] = figure(
            values, patient_ids, reason=why, interval=interval, sides=sides, n_runs=len(runs)
        )
    for c, name in enumerate(classes):
        values = over_draws(np.stack([figures[f"recall/{c}"] for figures in by_run]), seed=seed)
        own = [patient for patient, true in zip(patient_ids, truth, strict=True) if true == c]
        entries[f"recall/{name}"] = figure(values, own, reason="no case of the class", n_runs=len(runs))
    return entries


def confusion(runs: Sequence[Float32[np.ndarray, "n c"]], truth: Int[np.ndarray, " n"]) -> list[list[float]]:
    """Cases by true class (row) and called class (column), mean over the runs."""
    c = runs[0].shape[1]
    counts = [np.bincount(truth * c + scores.argmax(axis=1), minlength=c * c) for scores in runs]
    return np.mean(counts, axis=0).reshape(c, c).tolist()


def _of_run(
    scores: Float32[np.ndarray, "n c"], truth: Int[np.ndarray, " n"], weights: Float32[np.ndarray, "n s"]
) -> dict[str, Float[np.ndarray, " s"]]:
    called = scores.argmax(axis=1)
    figures = {"accuracy": mean_over((called == truth).astype(np.float64), weights)}
    areas: list[np.ndarray] = []
    f1: list[np.ndarray] = []
    for c in range(scores.shape[1]):
        own, said = truth == c, called == c
        hit, total, claimed = (
            weights[part].sum(axis=0, dtype=np.float64) for part in (own & said, own, said)
        )
        figures[f"recall/{c}"] = divided(hit, total)
        f1.append(np.where(total > 0, divided(2 * hit, total + claimed), np.nan))
        areas.append(auroc(scores[:, c], own, weights))
    return figures | {"f1_macro": mean_defined(np.stack(f1)), "auroc_macro": mean_defined(np.stack(areas))}
