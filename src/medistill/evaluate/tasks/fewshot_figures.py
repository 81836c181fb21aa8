"""Few-shot figures: what classifiers of few training patients make of the cases, over their draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from medistill.evaluate.statistics.auroc import auroc
from medistill.evaluate.statistics.interval import (
    Entry,
    Metrics,
    best_side,
    figure,
    log_odds,
    mean_defined,
    mean_over,
    patients_by_side,
    patients_of,
    undefined,
)
from medistill.evaluate.statistics.resample import over_draws


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Scores by classifiers of one kind, one a finding and draw; becomes a macro AUROC."""

    reason: str
    """Why there are none, where there are none."""
    scores: dict[int, list[Float[np.ndarray, " c"]]] = field(default_factory=dict)
    """By finding: each draw's scores of the cases that `stated` names."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """What else the figure rests on, by name."""

    def add(self, finding: int, scores: Float[np.ndarray, " c"]) -> None:
        self.scores.setdefault(finding, []).append(scores)


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """Whether classifiers of one kind, one a draw, name the class of each case; becomes an accuracy."""

    reason: str
    """Why there are none, where there are none."""
    right: Bool[np.ndarray, "r n"]
    """By draw, over the cases that have a class: `classed`."""
    counts: Mapping[str, int]


Results = Mapping[str, Ranking | Guesses]
"""By the name of the figure they become."""


def stated(labels: Float32[np.ndarray, "n f"], finding: int) -> Int[np.ndarray, " c"]:
    """The cases labeled 1 or 0, if there are both; else none."""
    cases = np.flatnonzero(np.isin(labels[:, finding], (0, 1)))
    present = labels[cases, finding] == 1
    return cases if 0 < present.sum() < len(present) else cases[:0]


def classed(labels: Float32[np.ndarray, "n f"]) -> Int[np.ndarray, " c"]:
    """The cases that have a class, where findings are classes."""
    return np.flatnonzero((labels == 1).any(axis=1))


def few_shot_metrics(
    results: Results,
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
    *,
    seed: int,
) -> Metrics:
    """Every figure, over draws and then findings; the interval resamples draws and patients."""
    return {
        name: _macro(result, labels, patient_ids, weights, seed=seed)
        if isinstance(result, Ranking)
        else _accuracy(result, labels, patient_ids, weights, seed=seed)
        for name, result in results.items()
    }


def _macro(
    ranking: Ranking,
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
    *,
    seed: int,
) -> Entry:
    findings = sorted(ranking.scores)
    known = np.isin(labels[:, findings], (0, 1))
    patients = patients_of(patient_ids, np.asarray(known.any(axis=1)))
    if not findings:
        return undefined(ranking.reason, patients)
    by_finding: list[np.ndarray] = []
    sides: list[dict[str, int]] = []
    for f in findings:
        cases = stated(labels, f)
        present, own = labels[cases, f] == 1, weights[cases]
        areas = np.stack([auroc(scores, present, own) for scores in ranking.scores[f]])
        by_finding.append(over_draws(areas, seed=seed))
        sides.append(patients_by_side([patient_ids[int(case)] for case in cases], present))
    area = mean_defined(np.stack(by_finding))
    entry = figure(area, patients, interval=log_odds, sides=best_side(sides), n_findings=len(findings))
    entry.update(ranking.counts)
    return entry


def _accuracy(
    guesses: Guesses,
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
    *,
    seed: int,
) -> Entry:
    cases = classed(labels)
    patients = patients_of(patient_ids, np.isin(np.arange(len(labels)), cases))
    if not guesses.right.size:
        return undefined(guesses.reason, patients)
    shares = np.stack([mean_over(right.astype(np.float64), weights[cases]) for right in guesses.right])
    entry = figure(over_draws(shares, seed=seed), patients)
    entry.update(guesses.counts)
    return entry
