"""Logistic regression on frozen embeddings, its strength chosen by cross-validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

_MANY = 40
"""Examples from which on the curvature costs more than the steps it saves."""
_PLENTY = 1000
"""Examples from which on one held-out fold says enough about C."""
_ROUGH, _FINE = 1e-6, 1e-10
"""Relative decrease of the loss at which a fit ends: to compare strengths, and to be used."""


class LinearProbe(ClassifierMixin, BaseEstimator):
    """L2 logistic regression, one class against the rest, its C chosen inside the examples it is given.

    Embeddings are centered and divided by their root mean square length, so one grid of C suits any model.
    C, the same for all classes, has the lowest cross-validated log loss, over one fold alone from 1,000
    examples on; with fewer examples of a class than folds, the first C is used. Two classes are one problem;
    of more, the probabilities are made to sum to 1.
    """

    def __init__(self, cs: Sequence[float] = (1.0, 0.1, 0.3, 3.0, 10.0), folds: int = 4) -> None:
        self.cs = cs
        self.folds = folds

    def fit(self, X: Any, y: Any, groups: Any = None) -> "LinearProbe":  # noqa: N803
        """Fit to rows and their classes.

        groups   what belongs together (a patient) and is never on both sides of a fold; each row if None.
        """
        checked: Any = validate_data(self, X, y, dtype="float64")
        rows, y = checked
        check_classification_targets(y)
        self.classes_, place = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"LinearProbe needs two classes or more; y holds {len(self.classes_)} class")
        present = place == np.arange(len(self.classes_))[:, None]
        present = present[1:] if len(present) == 2 else present
        self.mean_ = rows.mean(axis=0)
        self.length_ = float(np.sqrt(((rows - self.mean_) ** 2).sum(axis=1).mean())) or 1.0
        scaled = (rows - self.mean_) / self.length_
        basis = _basis(scaled)
        inside = scaled @ basis.T
        self.c_, start = self._chosen(inside, present, _folds(place, groups, self.folds))
        every = np.ones(present.shape)
        if len(rows) < _MANY:
            theta = logistic_weights(inside, present, every, np.full(len(present), self.c_))
        else:
            theta = logistic_weights_of_many(inside, present, every, self.c_, start, _FINE)
        self.coef_, self.intercept_ = theta[:, :-1] @ basis, theta[:, -1]
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Log odds: of the second of two classes (n,), or of each class against the rest (n, classes)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype="float64", reset=False)
        logits = (rows - self.mean_) / self.length_ @ self.coef_.T + self.intercept_
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        present = expit(self.decision_function(X))
        if present.ndim == 1:
            return np.stack([1 - present, present], axis=1)
        return present / np.maximum(present.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        logits = self.decision_function(X)
        place = (logits > 0).astype(np.int64) if logits.ndim == 1 else logits.argmax(axis=1)
        return self.classes_[place]

    def _chosen(
        self,
        inside: Float[np.ndarray, "n m"],
        present: Bool[np.ndarray, "t n"],
        fold: Int[np.ndarray, " n"] | None,
    ) -> tuple[float, Float[np.ndarray, "t m1"]]:
        """C, and weights to start from."""
        cs, start = [float(c) for c in self.cs], np.zeros((len(present), inside.shape[1] + 1))
        if len(cs) == 1 or fold is None:
            return cs[0], start
        folds = 1 if len(inside) >= _PLENTY else self.folds
        kept = np.tile((fold != np.arange(folds)[:, None]).astype(np.float64), (len(present), 1))
        targets = np.repeat(present, folds, axis=0)
        if len(inside) < _MANY:
            tiled = (len(cs), 1)
            every = (np.tile(targets, tiled), np.tile(kept, tiled), np.repeat(cs, len(kept)))
            thetas = logistic_weights(inside, *every).reshape(len(cs), len(kept), -1)
            nats = [_nats(inside, targets, 1 - kept, theta) for theta in thetas]
            return cs[int(np.argmin(nats))], start
        theta, best, chosen = np.repeat(start, folds, axis=0), np.inf, cs[0]
        for c in sorted(cs):
            theta = logistic_weights_of_many(inside, targets, kept, c, theta, _ROUGH)
            nats = _nats(inside, targets, 1 - kept, theta)
            if nats >= best:
                break  # it has one minimum along C, but for noise
            best, chosen, start = nats, c, theta.reshape(len(present), folds, -1).mean(axis=1)
        return chosen, start


def _nats(
    x: Float[np.ndarray, "n m"],
    present: Bool[np.ndarray, "b n"],
    counted: Float[np.ndarray, "b n"],
    theta: Float[np.ndarray, "b m1"],
) -> float:
    """The log loss of b fits in all, over what is counted of each."""
    logit = theta[:, :-1] @ x.T + theta[:, -1:]
    return float((counted * (np.logaddexp(0, logit) - present * logit)).sum())


def _basis(scaled: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "m d"]:
    """Directions the examples span, at right angles to each other: the solution lies among them."""
    # The penalty leaves no weight outside their span, so n examples are a problem of n numbers, not d.
    if len(scaled) > scaled.shape[1]:
        return np.linalg.eigh(scaled.T @ scaled)[1].T
    return np.linalg.svd(scaled, full_matrices=False)[2]


def _folds(place: Int[np.ndarray, " n"], groups: Any, folds: int) -> Int[np.ndarray, " n"] | None:
    """The fold of each row: groups in the order of their names, class by class.

    None if a class has fewer groups than folds; a group of several classes counts as the last of them.
    """
    if groups is None:
        groups = np.arange(len(place))
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    own, fold = np.zeros((2, len(names)), dtype=np.int64)
    np.maximum.at(own, group, place)
    for each in range(int(place.max()) + 1):
        members = np.flatnonzero(own == each)
        if len(members) < folds:
            return None
        fold[members] = np.arange(len(members)) % folds
    return fold[group]


def logistic_weights(
    x: Float[np.ndarray, "n m"],
    present: Bool[np.ndarray, "b n"],
    kept: Float[np.ndarray, "b n"],
    cs: Float[np.ndarray, " b"],
    steps: int = 50,
) -> Float[np.ndarray, "b m1"]:
    """Weights and intercept of b regularized fits at once, by Newton's method.

        argmin_w,c  |w|^2 / (2 C) + sum_i kept_i log(1 + exp(-y_i (w x_i + c)))

    A step moves no logit by more than 4, where the curvature would no longer be that of the loss.
    """
    rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    ridge = _ridge(cs, rows.shape[1])
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


def logistic_weights_of_many(
    x: Float[np.ndarray, "n m"],
    present: Bool[np.ndarray, "b n"],
    kept: Float[np.ndarray, "b n"],
    c: float,
    start: Float[np.ndarray, "b m1"],
    tolerance: float,
) -> Float[np.ndarray, "b m1"]:
    """The same fits without their curvature, by L-BFGS from `start`, in coordinates of like curvature.

    tolerance   relative decrease of the loss in a step at which it ends.
    """
    rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    share = float(np.clip(present.mean(), 0.01, 0.99))
    ridge = _ridge(np.array([c]), rows.shape[1])[0]
    # L-BFGS starts from a curvature of one size in all directions: make it so.
    unit = 1 / np.sqrt(share * (1 - share) * (rows**2).sum(axis=0) + ridge)
    rows, ridge = rows * unit, ridge * unit**2
    y, weight = present.T.astype(np.float64), kept.T

    def loss(flat: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        theta = flat.reshape(start.shape)
        logit = rows @ theta.T
        small = np.exp(-np.abs(logit))  # one exponential for loss and slope, where both spend their time
        nats = (weight * (np.log1p(small) + np.maximum(logit, 0) - y * logit)).sum()
        p = np.where(logit > 0, 1.0, small) / (1 + small)
        slope = (weight * (p - y)).T @ rows + ridge * theta
        nats += (ridge * theta**2).sum() / 2
        return float(nats), slope.ravel()

    options = {"maxiter": 1000, "ftol": tolerance, "gtol": 1e-7}
    best = minimize(loss, (start / unit).ravel(), jac=True, method="L-BFGS-B", options=options)
    return best.x.reshape(start.shape) * unit


def _ridge(cs: Float[np.ndarray, " b"], width: int) -> Float[np.ndarray, "b m1"]:
    ridge = np.repeat(1 / cs[:, None], width, axis=1)
    ridge[:, -1] = 1e-9  # the intercept is free
    return ridge
