"""AUROC and average precision, exact with ties, for many resamples at once."""

import numpy as np
from jaxtyping import Bool, Float, Float32

from medistill.evaluate.interval import divided


def auroc(
    scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"], weights: Float32[np.ndarray, "n s"]
) -> Float[np.ndarray, " s"]:
    """The chance that a positive scores above a negative, ties counted half; NaN where a class is missing.

    Negatives are sorted and their weights summed up once; each positive then looks up what lies below it.
    """
    negative = np.sort(scores[~present])
    below = _summed(weights[~present], np.argsort(scores[~present], kind="stable"))
    left = np.searchsorted(negative, scores[present], side="left")
    right = np.searchsorted(negative, scores[present], side="right")
    own = weights[present]
    won = np.einsum("ps,ps->s", own, below[left] + below[right], dtype=np.float64) / 2
    return divided(won, own.sum(axis=0, dtype=np.float64) * below[-1].astype(np.float64))


def average_precision(
    scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"], weights: Float32[np.ndarray, "n s"]
) -> Float[np.ndarray, " s"]:
    """Precision at each positive's score, averaged over the positives; NaN where a class is missing."""
    hits, alarms = (
        _weight_at_or_above(scores, side, scores[present], weights) for side in (present, ~present)
    )
    precision = divided(hits, hits + alarms)
    own = weights[present].astype(np.float64)
    total = own.sum(axis=0)
    area = divided(np.where(own > 0, own * precision, 0.0).sum(axis=0), total)
    return np.where(weights[~present].sum(axis=0) > 0, area, np.nan)


def roc_curve(
    scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """False and true positive rate at every distinct score, from (0, 0) to (1, 1), corners only."""
    cuts, group = np.unique(-scores, return_inverse=True)
    steps = np.stack([np.bincount(group, side, len(cuts)) for side in (~present, present)])
    rates = np.concatenate([np.zeros((2, 1)), steps.cumsum(axis=1)], axis=1)
    rates /= np.maximum(rates[:, -1:], 1)
    turn = np.diff(rates, axis=1)
    bend = np.abs(turn[0, :-1] * turn[1, 1:] - turn[0, 1:] * turn[1, :-1]) > 1e-12
    kept = np.concatenate([[True], bend, [True]])
    return rates[0, kept], rates[1, kept]


def _summed(weights: Float32[np.ndarray, "m s"], order: np.ndarray) -> Float32[np.ndarray, "m1 s"]:
    """Running sums of the weights in this order, from 0; exact in float32 up to 2**24 cases."""
    sums = np.zeros((len(order) + 1, weights.shape[1]), np.float32)
    np.cumsum(weights[order], axis=0, out=sums[1:])
    return sums


def _weight_at_or_above(
    scores: Float[np.ndarray, " n"],
    side: Bool[np.ndarray, " n"],
    cuts: Float[np.ndarray, " p"],
    weights: Float32[np.ndarray, "n s"],
) -> Float[np.ndarray, "p s"]:
    order = np.argsort(scores[side], kind="stable")
    sums = _summed(weights[side], order)
    first = np.searchsorted(scores[side][order], cuts, side="left")
    return (sums[-1] - sums[first]).astype(np.float64)
