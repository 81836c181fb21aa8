"""Zero-shot findings from prompts: ranking, decisions and calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from medistill.evaluate.prompts.derived import is_normal
from medistill.evaluate.statistics.auroc import auroc, average_precision
from medistill.evaluate.statistics.calibrate import Calibration, bin_sums
from medistill.evaluate.statistics.interval import (
    Entry,
    Interval,
    Metrics,
    Ranked,
    best_side,
    divided,
    figure,
    log_odds,
    mean_defined,
    patients_by_side,
    patients_of,
    percentiles,
    undefined,
    why_undefined,
)

DECISIONS = ("accuracy", "f1_macro", "ece", "brier")
"""Figures that need probabilities and thresholds."""
ABNORMAL, ABNORMAL_MACRO = "auroc_abnormal", "auroc_macro_abnormal"
"""How figures among abnormal studies are called, of one finding and of all."""
_NO_FINDING = "no finding has both a positive and a negative case"
_MACRO = ("auroc_macro", "ap_macro", *DECISIONS)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Cases with a score and a label for each finding, and what makes probabilities of the scores."""

    scores: Float32[np.ndarray, "n f"]
    labels: Float32[np.ndarray, "n f"]
    findings: Sequence[str]
    patient_ids: Sequence[str]
    calibration: Calibration
    judged: Bool[np.ndarray, " f"] | None = None
    """The findings that means are over, of those that have both classes; None: all."""

    @property
    def probability(self) -> Float[np.ndarray, "n f"]:
        return self.calibration.probability(self.scores)

    @property
    def called(self) -> Bool[np.ndarray, "n f"]:
        """Which findings are called present."""
        return self.probability >= self.calibration.threshold

    def of(self, chosen: Bool[np.ndarray, " f"]) -> "Scored":
        """Some of the findings."""
        return replace(
            self,
            scores=self.scores[:, chosen],
            labels=self.labels[:, chosen],
            findings=[finding for finding, kept in zip(self.findings, chosen, strict=True) if kept],
            calibration=self.calibration.of(chosen),
            judged=None if self.judged is None else self.judged[chosen],
        )

    def where(self, inside: Bool[np.ndarray, " n"]) -> "Scored":
        """Some of the cases."""
        patients = patients_of(self.patient_ids, inside)
        return replace(self, scores=self.scores[inside], labels=self.labels[inside], patient_ids=patients)


def prompt_scores(
    images: Float32[np.ndarray, "n d"],
    positive: Float32[np.ndarray, "f d"],
    negative: Float32[np.ndarray, "f d"],
) -> Float32[np.ndarray, "n f"]:
    """Cosine to the finding's positive prompts less the cosine to its negative ones."""
    return images @ (positive - negative).T


def zero_shot_metrics(cases: Scored, weights: Float32[np.ndarray, "n s"]) -> Metrics:
    """Every zero-shot figure over the cases labeled 1 or 0.

    The macro figures, the error of calibration and the Brier score are over the findings that have both
    classes; a resample leaves out the findings that lose one in it.
    """
    entries, ranking = rankings(cases, weights)
    if ranking is None:
        return entries | {name: undefined(_NO_FINDING, []) for name in _MACRO}
    defined = ranking.defined
    precisions = [
        average_precision(cases.scores[own, f], cases.labels[own, f] == 1, weights[own])
        for f, own in enumerate(_stated(cases.labels).T)
        if defined[f]
    ]
    others = {
        "ap_macro": mean_defined(np.stack(precisions)),
        **_decisions(cases.of(defined), weights),
        **_calibration_errors(cases.of(defined), weights),
    }
    entries["auroc_macro"] = ranking.figure(ranking.areas, interval=log_odds)
    return entries | {name: ranking.figure(values) for name, values in others.items()}


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What means over findings rest on."""

    areas: Float[np.ndarray, " s"]
    """The mean of the AUROC of the findings that are defined."""
    defined: Bool[np.ndarray, " f"]
    pooled: Sequence[str]
    """The patients of all cases with a label of a defined finding, one entry a case."""
    sides: Mapping[str, int]

    def figure(self, values: Float[np.ndarray, " s"], interval: Interval = percentiles) -> Entry:
        count = int(self.defined.sum())
        return figure(values, self.pooled, interval=interval, sides=self.sides, n_findings=count)


def rankings(
    cases: Scored, weights: Float32[np.ndarray, "n s"], *, name: str = "auroc"
) -> tuple[Metrics, Ranking | None]:
    """`NAME/<finding>` of each finding, and what their mean is made of; None if none has both classes."""
    stated = _stated(cases.labels)
    entries: Metrics = {}
    areas: list[np.ndarray] = []
    for f, finding in enumerate(cases.findings):
        own = stated[:, f]
        ranked = Ranked(cases.scores[own, f], cases.labels[own, f] == 1)
        areas.append(auroc(ranked.scores, ranked.present, weights[own]))
        entries[f"{name}/{finding}"] = figure(
            areas[-1],
            patients_of(cases.patient_ids, own),
            reason=why_undefined(cases.labels[:, f]),
            interval=log_odds,
            ranked=ranked,
        )
    defined = np.isfinite([area[0] for area in areas])
    if cases.judged is not None:
        defined &= cases.judged
    if not defined.any():
        return entries, None
    sides = best_side(
        patients_by_side(patients_of(cases.patient_ids, stated[:, f]), cases.labels[stated[:, f], f] == 1)
        for f in np.flatnonzero(defined)
    )
    pooled = patients_of(cases.patient_ids, np.logical_or.reduce(stated[:, defined], axis=1))
    area = mean_defined(np.stack(areas)[defined])
    return entries, Ranking(areas=area, defined=defined, pooled=pooled, sides=sides)


def among_abnormal(cases: Scored, weights: Float32[np.ndarray, "n s"]) -> Metrics:
    """AUROC of each finding and their mean among the studies that are not normal.

    A score that tells the normal from the abnormal and nothing else ranks every finding well, since what
    shows one is never normal; here it is worth no more than a coin.
    """
    inside = is_abnormal(cases.labels, cases.findings)
    entries, ranking = rankings(cases.where(inside), weights[inside], name=ABNORMAL)
    if ranking is None:
        return entries | {ABNORMAL_MACRO: undefined(_NO_FINDING, patients_of(cases.patient_ids, inside))}
    return entries | {ABNORMAL_MACRO: ranking.figure(ranking.areas, interval=log_odds)}


def is_abnormal(labels: Float32[np.ndarray, "n f"], findings: Sequence[str]) -> Bool[np.ndarray, " n"]:
    """Which cases show any finding, or are labeled as not normal."""
    says_normal = np.array([is_normal(finding) for finding in findings], bool)
    return (labels[:, ~says_normal] == 1).any(axis=1) | (labels[:, says_normal] == 0).any(axis=1)


def _stated(labels: Float32[np.ndarray, "n f"]) -> Bool[np.ndarray, "n f"]:
    return (labels == 0) | (labels == 1)


def _decisions(cases: Scored, weights: Float32[np.ndarray, "n s"]) -> dict[str, Float[np.ndarray, " s"]]:
    present, absent, called = cases.labels == 1, cases.labels == 0, cases.called
    count = weights.astype(np.float64)
    hit, alarm, positive, negative = (
        cells.T.astype(np.float64) @ count for cells in (called & present, called & absent, present, absent)
    )
    both = (positive > 0) & (negative > 0)  # a resample may lose a class of a finding
    accuracy = divided(hit + negative - alarm, np.where(both, positive + negative, 0))
    f1 = divided(2 * hit, np.where(both, hit + alarm + positive, 0))
    return {"accuracy": mean_defined(accuracy), "f1_macro": mean_defined(f1)}


def _calibration_errors(
    cases: Scored, weights: Float32[np.ndarray, "n s"]
) -> dict[str, Float[np.ndarray, " s"]]:
    labels, probability = cases.labels, cases.probability
    stated = (labels == 0) | (labels == 1)
    count = weights.astype(np.float64)
    cells, confidence, present = (part @ count for part in bin_sums(probability, labels))
    squared = np.where(stated, (probability - (labels == 1)) ** 2, 0.0).sum(axis=1)
    return {
        "ece": divided(np.abs(confidence - present).sum(axis=0), cells.sum(axis=0)),
        "brier": divided(squared @ count, cells.sum(axis=0)),
    }
