"""The difference of two models' AUROC, with its variance between patients.

Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997) 567-578. With one image a
patient it is DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver
operating characteristic curves, Biometrics 44 (1988) 837-845.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr, ndtri

from medistill.evaluate.statistics.interval import Entry, counted, undefined, why_undefined

_TINY = 1e-14
"""A variance below this is rounding."""
_ONE_PATIENT = "all positive or all negative images are of one patient: no variance between patients"


@dataclass(frozen=True)
class Area:
    """An AUROC, and what each patient adds to its error through positive and through negative images."""

    value: float
    positive: Float[np.ndarray, " i"]
    negative: Float[np.ndarray, " i"]

    def __sub__(self, other: "Area") -> "Area":
        return Area(self.value - other.value, self.positive - other.positive, self.negative - other.negative)


@dataclass(frozen=True)
class Clusters:
    """Which patient each image is of, and how many have positive, negative, or any images."""

    patient: Int[np.ndarray, " n"]
    positive: int
    negative: int
    all: int

    @property
    def method(self) -> str:
        return "DeLong 1988" if self.all == len(self.patient) else "Obuchowski 1997"


def auroc_difference(
    one: Float[np.ndarray, " n"],
    other: Float[np.ndarray, " n"],
    present: Bool[np.ndarray, " n"],
    patient_ids: Sequence[str],
    level: float = 0.95,
) -> Entry:
    """One model's AUROC less another's on the same images, with the two-sided p of no difference.

        z = (area_1 - area_2) / sqrt(variance_1 + variance_2 - 2 covariance)

    Where no patient tells the models apart (both order all images alike), there is no variance to judge by:
    no interval and no p.
    """
    if present.all() or not present.any():
        return undefined(why_undefined(present.astype(np.float64)), patient_ids) | {"p": None}
    clusters = clusters_of(present, patient_ids)
    # Subtracted patient by patient, so that the covariance of the models is in the variance of the rest.
    area = area_of(one, present, clusters) - area_of(other, present, clusters)
    spread = variance(area, clusters)
    entry: Entry = {"value": area.value, **counted(patient_ids), "method": clusters.method}
    if spread is None or spread < _TINY:
        reason = _ONE_PATIENT if spread is None else "no patient tells the models apart: no variance"
        return entry | {"low": None, "high": None, "p": None, "reason": reason}
    half = float(ndtri((1 + level) / 2)) * spread**0.5
    p = float(2 * ndtr(-abs(area.value) / spread**0.5))
    return entry | {"low": area.value - half, "high": area.value + half, "p": p}


def clusters_of(present: Bool[np.ndarray, " n"], patient_ids: Sequence[str]) -> Clusters:
    """The images by patient."""
    patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)[1]
    positive, negative = (len(np.unique(patient[side])) for side in (present, ~present))
    return Clusters(patient, positive, negative, int(patient.max()) + 1)


def area_of(scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"], clusters: Clusters) -> Area:
    """The AUROC and each patient's part in its error, in O(n log n) by looking up midranks.

        v_i = share of negatives below positive i, w_j = share of positives above negative j, ties half

    A patient's part through positives is the sum of their (v - area), over the number of positives; through
    negatives likewise, of w.
    """
    above, below = scores[present], scores[~present]
    v = _share_below(above, below)
    w = 1 - _share_below(below, above)
    area = float(v.mean())
    positive, negative = (
        np.bincount(clusters.patient[side], share - area, clusters.all) / side.sum()
        for side, share in ((present, v), (~present, w))
    )
    return Area(area, positive, negative)


def variance(area: Area, clusters: Clusters) -> float | None:
    """Obuchowski's variance of an area or a difference of areas; None if a class is one patient's alone.

        I+/(I+ - 1) sum positive^2 + I-/(I- - 1) sum negative^2 + 2 I/(I - 1) sum positive * negative

    over patients; I+, I- and I are how many have positive, negative, or any images. This is the paper's
    S10 / M + S01 / N + 2 S11 / (M N), whose last term is 0 where no patient has both.
    """
    if min(clusters.positive, clusters.negative) < 2:
        return None
    terms = (
        (clusters.positive, area.positive @ area.positive),
        (clusters.negative, area.negative @ area.negative),
        (clusters.all, 2 * (area.positive @ area.negative)),
    )
    # count / (count - 1) as in any variance of a sample: the area itself was estimated from these patients.
    return float(sum(count / (count - 1) * term for count, term in terms))


def _share_below(scores: Float[np.ndarray, " m"], others: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """The share of the others below each score, ties counted half."""
    ranked = np.sort(others)
    low, high = (np.searchsorted(ranked, scores, side) for side in ("left", "right"))
    return (low + high) / (2 * len(others))
