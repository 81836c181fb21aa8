"""AUROC and average precision, exact with ties, for many resamples at once."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.sparse import csr_array

from medistill.evaluate.statistics.interval import divided

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
COLUMNS = 256
"""Resamples worked on at a time: their running sums stay small."""


def auroc(
    scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"], weights: Float32[np.ndarray, "n s"]
) -> Float[np.ndarray, " s"]:
    """The chance that a positive scores above a negative, ties counted half; NaN where a class is missing.

    The distinct scores of positives are levels. Weights are summed between levels by one sparse product, and
    then along them. All sums are whole or half numbers, exact in float32 up to 2**23 cases.
    """
    levels, at_level = _positives(scores, present)
    negatives = np.flatnonzero(~present)
    # A negative on a level counts half as below it: half of it from the left, half from the right.
    places = (np.searchsorted(levels, scores[negatives], side) for side in _SIDES)
    halves = [_grouped(place, negatives, 0.5, len(levels) + 1, len(scores)) for place in places]
    below = halves[0] + halves[1]
    areas = np.empty(weights.shape[1])
    for columns, part in _in_columns(weights):
        own, lost = at_level @ part, _running(below @ part)
        won = np.einsum("us,us->s", own, lost[:-1], dtype=np.float64)
        areas[columns] = divided(won, own.sum(axis=0, dtype=np.float64) * lost[-1])
    return areas


def average_precision(
    scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"], weights: Float32[np.ndarray, "n s"]
) -> Float[np.ndarray, " s"]:
    """Precision at each positive's score, averaged over the positives; NaN where a class is missing."""
    levels, at_level = _positives(scores, present)
    negatives = np.flatnonzero(~present)
    # Counted from the highest level down: at or above the first, the second, ...
    place = len(levels) - np.searchsorted(levels, scores[negatives], "right")
    above = _grouped(place, negatives, 1.0, len(levels) + 1, len(scores))
    areas = np.empty(weights.shape[1])
    for columns, part in _in_columns(weights):
        own = (at_level @ part)[::-1]
        hits, alarms = _running(own.copy()), _running(above @ part)
        precision = divided(hits.astype(np.float64), hits.astype(np.float64) + alarms[:-1])
        area = divided(np.where(own > 0, own * precision, 0.0).sum(axis=0), own.sum(axis=0, dtype=np.float64))
        areas[columns] = np.where(alarms[-1] > 0, area, np.nan)
    return areas


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


def _positives(
    scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " u"], csr_array]:
    """The distinct scores of positives, upward, and the sum over the positives at each."""
    levels, place = np.unique(scores[present], return_inverse=True)
    return levels, _grouped(place, np.flatnonzero(present), 1.0, len(levels), len(scores))


def _grouped(
    place: Int[np.ndarray, " m"], cases: Int[np.ndarray, " m"], share: float, groups: int, n: int
) -> csr_array:
    """The matrix that sums up a share of these cases' weights, each in its group."""
    shares = np.full(len(cases), share, np.float32)
    return csr_array((shares, (place, cases)), shape=(groups, n))


def _running(sums: Float32[np.ndarray, "u s"]) -> Float32[np.ndarray, "u s"]:
    """Running sums along the first axis, in place; a row at a time, which numpy's cumsum does not do."""
    for above, row in pairwise(sums):
        row += above
    return sums


def _in_columns(
    weights: Float32[np.ndarray, "n s"],
) -> Iterator[tuple[slice, Float32[np.ndarray, "n c"]]]:
    for first in range(0, weights.shape[1], COLUMNS):
        columns = slice(first, first + COLUMNS)
        yield columns, np.ascontiguousarray(weights[:, columns])
