"""Few-shot findings: logistic regression on frozen embeddings of k + k patients."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, check_X_y

from medistill.evaluate.auroc import auroc
from medistill.evaluate.interval import (
    Metrics,
    divided,
    figure,
    mean_defined,
    patients_of,
    resample_counts,
    undefined,
)

SHOTS = (1, 4, 16)


class LinearProbe(ClassifierMixin, BaseEstimator):
    """L2 logistic regression for two classes, its C chosen inside the examples it is given.

    Embeddings are centered and divided by their root mean square length, so one grid of C suits any model.
    C has the lowest cross-validated log loss; with fewer examples of a class than folds, the first is used.
    """

    def __init__(self, cs: Sequence[float] = (1.0, 0.1, 0.3, 3.0, 10.0), folds: int = 4) -> None:
        self.cs = cs
        self.folds = folds

    def fit(self, X: np.ndarray, y: np.ndarray) -> "LinearProbe":  # noqa: N803
        rows, y = check_X_y(X, y, dtype="float64")
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            raise ValueError(f"LinearProbe tells two classes apart; y holds {len(self.classes_)}")
        present = y == self.classes_[1]
        self.mean_ = rows.mean(axis=0)
        self.length_ = float(np.sqrt(((rows - self.mean_) ** 2).sum(axis=1).mean())) or 1.0
        scaled = (rows - self.mean_) / self.length_
        # The solution lies in the span of the examples: rotate into it, and back at the end.
        basis = np.linalg.svd(scaled, full_matrices=False)[2]
        inside = scaled @ basis.T
        self.c_ = self._chosen_c(inside, present)
        theta = logistic_weights(inside, present, np.ones((1, len(y))), np.array([self.c_]))[0]
        self.coef_, self.intercept_ = theta[:-1] @ basis, float(theta[-1])
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        return (X - self.mean_) / self.length_ @ self.coef_ + self.intercept_

    def predict_proba(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        present = expit(self.decision_function(X))
        return np.stack([1 - present, present], axis=1)

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def _chosen_c(self, inside: Float[np.ndarray, "n m"], present: Bool[np.ndarray, " n"]) -> float:
        cs = np.asarray(self.cs, dtype=np.float64)
        if len(cs) == 1 or min(present.sum(), (~present).sum()) < self.folds:
            return float(cs[0])
        fold = np.zeros(len(present), dtype=np.int64)
        for side in (present, ~present):
            fold[side] = np.arange(side.sum()) % self.folds
        kept = (fold != np.arange(self.folds)[:, None]).astype(np.float64)
        theta = logistic_weights(inside, present, np.tile(kept, (len(cs), 1)), np.repeat(cs, self.folds))
        logit = (theta[:, :-1] @ inside.T + theta[:, -1:]).reshape(len(cs), self.folds, -1)
        nats = np.logaddexp(0, logit) - present * logit
        return float(cs[((1 - kept) * nats).sum(axis=(1, 2)).argmin()])


def logistic_weights(
    x: Float[np.ndarray, "n m"],
    present: Bool[np.ndarray, " n"],
    kept: Float[np.ndarray, "b n"],
    cs: Float[np.ndarray, " b"],
    steps: int = 50,
) -> Float[np.ndarray, "b m1"]:
    """Weights and intercept of b regularized fits at once, by Newton's method.

        argmin_w,c  |w|^2 / (2 C) + sum_i kept_i log(1 + exp(-y_i (w x_i + c)))

    A step moves no logit by more than 4, where the curvature would no longer be that of the loss.
    """
    rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    ridge = np.repeat(1 / cs[:, None], rows.shape[1], axis=1)
    ridge[:, -1] = 1e-9  # the intercept is free
    theta = np.zeros_like(ridge)
    for _ in range(steps):
        p = expit(theta @ rows.T)
        gradient = (kept * (p - present)) @ rows + ridge * theta
        curvature = (rows.T * (kept * p * (1 - p))[:, None]) @ rows
        curvature[:, np.arange(rows.shape[1]), np.arange(rows.shape[1])] += ridge
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        moved = np.abs(step @ rows.T).max(axis=1)
        theta -= step * np.minimum(1, 4 / np.maximum(moved, 1e-12))[:, None]
        if moved.max() < 1e-8:
            break
    return theta


@dataclass(frozen=True)
class Draw:
    """The training studies of one classifier: k of positive patients, then k of negative ones."""

    finding: int
    k: int
    number: int
    studies: Int[np.ndarray, " m"]


def draw_shots(
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    findings: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> list[Draw]:
    """For each finding and k, `draws` times k positive and k negative patients, one study of each.

    A positive patient has a study labeled 1; a negative one has a study labeled 0 and none labeled 1.
    A finding with fewer than k of either is left out at that k.
    """
    drawn: list[Draw] = []
    patients = np.asarray(patient_ids, dtype=str)
    for f, finding in enumerate(findings):
        pools = _patient_pools(labels[:, f], patients)
        for k in SHOTS:
            if min(map(len, pools)) < k:
                continue
            for number in range(draws):
                generator = np.random.default_rng([seed, k, number, zlib.crc32(finding.encode())])
                studies = [
                    generator.choice(pool[place])
                    for pool in pools
                    for place in generator.choice(len(pool), k, replace=False)
                ]
                drawn.append(Draw(f, k, number, np.array(studies, dtype=np.int64)))
    return drawn


def _patient_pools(labels: Float32[np.ndarray, " n"], patients: np.ndarray) -> tuple[list[np.ndarray], ...]:
    """Studies by patient: those labeled 1 of the positive patients, those labeled 0 of the negative ones."""
    positive: dict[str, list[int]] = {}
    negative: dict[str, list[int]] = {}
    for study in np.flatnonzero(labels == 1):
        positive.setdefault(patients[study], []).append(int(study))
    for study in np.flatnonzero(labels == 0):
        if patients[study] not in positive:
            negative.setdefault(patients[study], []).append(int(study))
    return tuple([np.array(pool[patient]) for patient in sorted(pool)] for pool in (positive, negative))


def few_shot_metrics(
    drawn: Sequence[Draw],
    train: Float32[np.ndarray, "t d"],
    images: Float32[np.ndarray, "n d"],
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
    *,
    seed: int,
) -> Metrics:
    """Macro AUROC at each k: over draws, then findings; the interval resamples draws and patients."""
    stated = (labels == 0) | (labels == 1)
    entries: Metrics = {}
    for k in SHOTS:
        areas: dict[int, list[np.ndarray]] = {}
        for draw in drawn:
            cases = stated[:, draw.finding]
            present = labels[cases, draw.finding] == 1
            if draw.k == k and 0 < present.sum() < len(present):
                probe = LinearProbe().fit(train[draw.studies], np.repeat([1, 0], k))
                scores = probe.decision_function(images[cases])
                areas.setdefault(draw.finding, []).append(auroc(scores, present, weights[cases]))
        scored = stated[:, sorted(areas)].any(axis=1)
        patients = patients_of(patient_ids, scored)
        if not areas:
            reason = f"no finding has {k} + {k} patients to train on and both classes to test on"
            entries[f"auroc_macro@{k}"] = undefined(reason, patients)
            continue
        by_finding = np.stack([over_draws(np.stack(draws), seed=seed) for draws in areas.values()])
        entries[f"auroc_macro@{k}"] = figure(mean_defined(by_finding), patients) | {"n_findings": len(areas)}
    return entries


def over_draws(areas: Float[np.ndarray, "r s"], *, seed: int) -> Float[np.ndarray, " s"]:
    """Mean over the r draws, which are themselves resampled in every column but the first."""
    counts = resample_counts(len(areas), areas.shape[1] - 1, seed=[seed, len(areas)]).astype(np.float64)
    counts = np.where(np.isfinite(areas), counts, 0.0)
    return divided((counts * np.nan_to_num(areas)).sum(axis=0), counts.sum(axis=0))
