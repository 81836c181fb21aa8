"""Zero-shot findings from prompts: ranking, decisions and calibration."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32

from medistill.evaluate.statistics.auroc import auroc, average_precision
from medistill.evaluate.statistics.calibrate import Calibration, bin_sums
from medistill.evaluate.statistics.interval import (
    Entry,
    Metrics,
    Ranked,
    divided,
    figure,
    log_odds,
    mean_defined,
    patients_of,
    undefined,
    why_undefined,
)


def prompt_scores(
    images: Float32[np.ndarray, "n d"],
    positive: Float32[np.ndarray, "f d"],
    negative: Float32[np.ndarray, "f d"],
) -> Float32[np.ndarray, "n f"]:
    """Cosine to the finding's positive prompts less the cosine to its negative ones."""
    return images @ (positive - negative).T


def zero_shot_metrics(
    scores: Float32[np.ndarray, "n f"],
    labels: Float32[np.ndarray, "n f"],
    findings: Sequence[str],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
    *,
    calibration: Calibration,
) -> Metrics:
    """Every zero-shot figure over the cases labeled 1 or 0.

    The macro figures, the error of calibration and the Brier score are over the findings that have both
    classes; a resample leaves out the findings that lose one in it.
    """
    stated = (labels == 0) | (labels == 1)
    entries: Metrics = {}
    areas: list[np.ndarray] = []
    precisions: list[np.ndarray] = []
    for f, finding in enumerate(findings):
        cases = stated[:, f]
        given = (scores[cases, f], labels[cases, f] == 1, weights[cases])
        areas.append(auroc(*given))
        precisions.append(average_precision(*given))
        entries[f"auroc/{finding}"] = figure(
            areas[-1],
            patients_of(patient_ids, cases),
            reason=why_undefined(labels[:, f]),
            interval=log_odds,
            ranked=Ranked(*given[:2]),
        )
    defined = np.isfinite([area[0] for area in areas])
    pooled = patients_of(patient_ids, stated[:, defined].any(axis=1))
    if not defined.any():
        reason = "no finding has both a positive and a negative case"
        return entries | {name: undefined(reason, pooled) for name in _MACRO}
    calls = calibration.probability(scores)[:, defined] >= calibration.threshold[defined]
    area = mean_defined(np.stack(areas)[defined])
    entries["auroc_macro"] = figure(area, pooled, interval=log_odds, n_findings=int(defined.sum()))
    found = {
        "ap_macro": mean_defined(np.stack(precisions)[defined]),
        **_decisions(calls, labels[:, defined], weights),
        **_calibration_errors(calibration.probability(scores)[:, defined], labels[:, defined], weights),
    }
    return entries | {name: _macro(values, pooled, int(defined.sum())) for name, values in found.items()}


DECISIONS = ("accuracy", "f1_macro", "ece", "brier")
"""Figures that need probabilities and thresholds."""
_MACRO = ("auroc_macro", "ap_macro", *DECISIONS)


def _macro(values: Float[np.ndarray, " s"], patient_ids: Sequence[str], findings: int) -> Entry:
    return figure(values, patient_ids, n_findings=findings)


def _decisions(
    calls: Bool[np.ndarray, "n f"], labels: Float[np.ndarray, "n f"], weights: Float32[np.ndarray, "n s"]
) -> dict[str, Float[np.ndarray, " s"]]:
    present, absent = labels == 1, labels == 0
    count = weights.astype(np.float64)
    hit, alarm, positive, negative = (
        cells.T.astype(np.float64) @ count for cells in (calls & present, calls & absent, present, absent)
    )
    both = (positive > 0) & (negative > 0)
    accuracy = divided(hit + negative - alarm, np.where(both, positive + negative, 0))
    f1 = divided(2 * hit, np.where(both, hit + alarm + positive, 0))
    return {"accuracy": mean_defined(accuracy), "f1_macro": mean_defined(f1)}


def _calibration_errors(
    probability: Float[np.ndarray, "n f"],
    labels: Float[np.ndarray, "n f"],
    weights: Float32[np.ndarray, "n s"],
) -> dict[str, Float[np.ndarray, " s"]]:
    stated = (labels == 0) | (labels == 1)
    count = weights.astype(np.float64)
    cells, confidence, present = (part @ count for part in bin_sums(probability, labels))
    squared = np.where(stated, (probability - (labels == 1)) ** 2, 0.0).sum(axis=1)
    return {
        "ece": divided(np.abs(confidence - present).sum(axis=0), cells.sum(axis=0)),
        "brier": divided(squared @ count, cells.sum(axis=0)),
    }
