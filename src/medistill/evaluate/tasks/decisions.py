"""Zero-shot probabilities and calls: how well calibrated, how often right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from medistill.evaluate.statistics.calibrate import BINS, Calibration, bin_sums
from medistill.evaluate.statistics.interval import Metrics, divided, patients_of, share_figure
from medistill.evaluate.statistics.resample import OverPatients
from medistill.evaluate.tasks.zeroshot import Scored


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What evaluation.json tells of probabilities and calls; both empty if no finding has both classes."""

    reliability: Mapping[str, list[Mapping[str, Any]]]
    """`before` fitting and `after` it, where there is either: bins of probability that are not empty."""
    calls: Mapping[str, Mapping[str, Any]]
    """By finding: the four counts at its threshold, sensitivity and specificity."""


NO_DECISIONS = Decisions(reliability={}, calls={})


def decisions(cases: Scored, before: Calibration | None, over_patients: OverPatients) -> Decisions:
    """Calibration by bins over the findings that have both classes, and the calls of each of these.

    before   the calibration there is without fitting, if any; the cases' own where nothing was fitted
    """
    both = np.array([(column == 1).any() and (column == 0).any() for column in cases.labels.T], dtype=bool)
    if not both.any():
        return NO_DECISIONS
    cases = cases.of(both)
    stages = {"before": before.of(both)} if before else {}
    if before is None or before.origin != cases.calibration.origin:
        stages["after"] = cases.calibration
    reliability = {
        stage: _bins(how.probability(cases.scores), cases, over_patients) for stage, how in stages.items()
    }
    called, given = cases.called, (cases.labels, cases.findings, cases.patient_ids)
    rates = over_patients(lambda weights: call_rates(called, *given, weights))
    calls = {
        name: _counts(called[:, f], cases.labels[:, f])
        | {"threshold": float(cases.calibration.threshold[f])}
        | {rate: rates[f"{rate}/{name}"] for rate in ("sensitivity", "specificity")}
        for f, name in enumerate(cases.findings)
    }
    return Decisions(reliability=reliability, calls=calls)


def _bins(
    probability: Float[np.ndarray, "n f"], cases: Scored, over_patients: OverPatients
) -> list[Mapping[str, Any]]:
    sums = bin_sums(probability, cases.labels)
    cells, confidence, _ = sums.sum(axis=2)
    present = over_patients(lambda weights: present_by_bin(sums, cases.patient_ids, weights))
    return [
        {
            "from": place / BINS,
            "to": (place + 1) / BINS,
            "probability": float(confidence[place] / cells[place]),
            "present": present[str(place)],
        }
        for place in np.flatnonzero(cells).tolist()
    ]


def present_by_bin(
    sums: Float[np.ndarray, "3 bins n"], patient_ids: Sequence[str], weights: Float32[np.ndarray, "n s"]
) -> Metrics:
    """By the number of each bin that holds a label: the share present of what lies in it.

    sums   of `calibrate.bin_sums`: what the error of calibration is made of
    """
    count = weights.astype(np.float64)
    entries: Metrics = {}
    for place in np.flatnonzero(sums[0].sum(axis=1)).tolist():
        cells, present = sums[0, place], sums[2, place]
        patients = patients_of(patient_ids, cells > 0)
        values = divided(present @ count, cells @ count)
        entries[str(place)] = share_figure(values, patients, reason="empty", n_labels=int(cells.sum()))
    return entries


def call_rates(
    called: Bool[np.ndarray, "n f"],
    labels: Float32[np.ndarray, "n f"],
    findings: Sequence[str],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
) -> Metrics:
    """Sensitivity: the share of the present called present; specificity: of the absent called absent."""
    entries: Metrics = {}
    for f, name in enumerate(findings):
        for rate, label, right in (("sensitivity", 1, called[:, f]), ("specificity", 0, ~called[:, f])):
            cases = labels[:, f] == label
            count = weights[cases].astype(np.float64)
            values = divided(right[cases].astype(np.float64) @ count, count.sum(axis=0))
            entries[f"{rate}/{name}"] = share_figure(
                values, patients_of(patient_ids, cases), reason="no such case"
            )
    return entries


def _counts(called: Bool[np.ndarray, " n"], labels: Float32[np.ndarray, " n"]) -> dict[str, Any]:
    present, absent = labels == 1, labels == 0
    return {
        "true_positive": int((called & present).sum()),
        "false_negative": int((~called & present).sum()),
        "false_positive": int((called & absent).sum()),
        "true_negative": int((~called & absent).sum()),
    }
