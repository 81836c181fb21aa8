"""Bootstrap intervals over patients, and the shape of a reported figure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy.special import expit, logit, ndtri

Entry = dict[str, float | int | str | None]
"""One figure: value, low, high, n_images, n_patients; `reason` where the value or the interval is None."""
Metrics = dict[str, Entry]
"""The figures of one task by the metric's name."""
Interval = Callable[[float, Float[np.ndarray, " r"]], tuple[float, float]]
"""The 95 % interval of a value from its resampled values; NaN if none is defined."""
Z_95 = float(ndtri(0.975))
FEWEST = 10
"""Patients on each side of a figure below which it gets no interval: four patients told apart without a fault
give "1.000 [1.000, 1.000]", since every resample of them is as good."""


@dataclass(frozen=True)
class Resampling:
    """Which patients were drawn, how many times, from which seed; where equal, resample i is the same."""

    patients: tuple[str, ...]
    resamples: int
    seed: tuple[int, ...]

    def __str__(self) -> str:
        seed = " ".join(map(str, self.seed))
        return f"{self.resamples:,} resamples of {len(self.patients):,} patients from seed {seed}"


@dataclass(frozen=True)
class Ranked:
    """What an AUROC is of: the score of each case, and whether the finding is present in it."""

    scores: Float[np.ndarray, " n"]
    present: Bool[np.ndarray, " n"]


TOO_FEW = "too few patients for an interval"


class Figure(Entry):
    """An entry that still holds the resampled values of its interval: one a resample, NaN where undefined.

    Figures of several models on the same patients are resampled alike, so their differences can be paired.
    """

    spread: Float[np.ndarray, " r"]
    patient_ids: Sequence[str]
    """The patients of the cases it rests on, one entry a case."""
    interval: Interval
    """How low and high come from the value and the spread."""
    sides: Mapping[str, int]
    """The patients on each side by what they are called; empty where the interval holds for any number."""
    resampling: Resampling | None = None
    """Set by `evaluate.resample`; without it, nothing says what the figure may be paired with."""
    ranked: Ranked | None = None
    """The cases of a single AUROC, in the order of `patient_ids`."""

    def spread_over(self, spread: Float[np.ndarray, " r"]) -> None:
        """Take these resampled values, and the interval that they give if there are patients enough."""
        low, high = self.interval(float(self["value"] or 0), spread)
        self.spread = spread
        if min(self.sides.values(), default=FEWEST) < FEWEST:
            self["low"] = self["high"] = None
            counted = " and ".join(f"{count} {name}" for name, count in self.sides.items())
            self["reason"] = f"{TOO_FEW}: {counted}, {FEWEST} are needed"
        else:
            self["low"], self["high"] = (low, high) if np.isfinite(low) else (None, None)


def resample_counts(n: int, resamples: int, *, seed: Sequence[int]) -> Float32[np.ndarray, "{n} s"]:
    """How often each of `n` units is drawn in each resample; column 0 is the sample itself, all ones."""
    return next(counts_in_blocks(n, resamples, seed=seed, at_once=max(1, resamples))).T.copy()


def counts_in_blocks(
    n: int, resamples: int, *, seed: Sequence[int], at_once: int
) -> Iterator[Float32[np.ndarray, "s {n}"]]:
    """The counts of `at_once` resamples at a time, a row each, the sample itself first."""
    generator = np.random.default_rng(seed)
    for first in range(0, max(1, resamples), at_once):
        size = min(at_once, resamples - first)
        counts = np.ones((1 + size, n), np.float32)
        for row in counts[1:]:
            row[:] = np.bincount(generator.integers(0, n, n), minlength=n)
        yield counts


def patient_weights(
    patient_ids: Sequence[str], resamples: int, *, seed: int | Sequence[int]
) -> Float32[np.ndarray, "n s"]:
    """Weight of each case in each resample of whole patients; column 0 is the sample itself.

    Every statistic is computed once per column: its first value is the figure, the rest its spread.
    """
    patients, patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    seeds = [seed] if isinstance(seed, int) else list(seed)
    return resample_counts(len(patients), resamples, seed=seeds)[patient]


def percentiles(value: float, spread: Float[np.ndarray, " r"]) -> tuple[float, float]:
    """The percentile interval of a figure: the middle 95 % of its resampled values, wherever they lie."""
    return percentile_interval(spread)


def log_odds(value: float, spread: Float[np.ndarray, " r"]) -> tuple[float, float]:
    """An interval for shares near 1, as AUROC: log odds of the value +- 1.96 of their standard deviations.

    An AUROC varies more the lower it is, which percentiles hardly follow. Of 2,000 samples of 300 patients
    with 1 to 4 images, 20 % of them positive, and a true AUROC of .9, this interval held it in 95.0 % and the
    percentiles in 93.7 %, with three times as many misses on one side as on the other
    (`tests/evaluate/statistics/test_coverage.py`); with 5 % positive, 93.0 and 90.9 %. A resample of exactly
    0 or 1 counts as the most extreme other one.
    """
    inside = spread[(spread > 0) & (spread < 1)]
    if not 0 < value < 1 or not len(inside):
        return percentile_interval(spread)
    # Log odds of 0 and 1 are infinite: one such resample would take the whole interval with it.
    odds = logit(np.clip(spread[np.isfinite(spread)], inside.min(), inside.max()))
    low, high = expit(logit(value) + Z_95 * odds.std() * np.array([-1, 1]))
    return float(low), float(high)


def percentile_interval(spread: Float[np.ndarray, " r"], level: float = 0.95) -> tuple[float, float]:
    """The percentile interval; resamples in which the figure is not defined (NaN) are left out."""
    defined = spread[np.isfinite(spread)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def figure(
    values: Float[np.ndarray, " s"],
    patient_ids: Sequence[str],
    *,
    reason: str = "not defined",
    interval: Interval = percentiles,
    ranked: Ranked | None = None,
    sides: Mapping[str, int] | None = None,
    **counts: int,
) -> Entry:
    """The figure `values[0]`, with its interval from the rest; None, for this reason, if it is NaN.

    interval   how; named in the entry unless it is the percentile interval
    ranked     the cases, if this is the AUROC of one finding
    sides      patients on each side, of which an interval needs FEWEST; by default those of `ranked`, or all
    counts     what else it rests on, by name
    """
    if not np.isfinite(values[0]):
        return undefined(reason, patient_ids)
    entry = Figure(value=float(values[0]), low=None, high=None, **counted(patient_ids), **counts)
    if interval is not percentiles:
        entry["interval"] = interval.__name__
    entry.patient_ids, entry.interval, entry.ranked = patient_ids, interval, ranked
    if sides is None and ranked is not None:
        sides = patients_by_side(patient_ids, ranked.present)
    entry.sides = {"patients": len(set(patient_ids))} if sides is None else sides
    entry.spread_over(values[1:])
    return entry


def share_figure(
    values: Float[np.ndarray, " s"], patient_ids: Sequence[str], *, reason: str, **counts: int
) -> Entry:
    """A share of cases, with a bound where it is 0 or 1, which no resample changes.

    If a case is of the rarer kind with chance p, none of k patients has one with chance (1 - p) ** k at most:
    the bound is the p at which that is .025.
    """
    bound = 1 - 0.025 ** (1 / max(1, len(set(patient_ids))))

    def percentiles_or_bound(value: float, spread: Float[np.ndarray, " r"]) -> tuple[float, float]:
        ends = {0.0: (0.0, bound), 1.0: (1 - bound, 1.0)}
        return ends.get(value) or percentile_interval(spread)

    how = percentiles_or_bound
    return figure(values, patient_ids, reason=reason, interval=how, ranked=None, sides={}, **counts)


def undefined(reason: str, patient_ids: Sequence[str]) -> Entry:
    """A figure that the data do not define: never 0."""
    return {"value": None, "low": None, "high": None, "reason": reason, **counted(patient_ids)}


def patients_of(patient_ids: Sequence[str], cases: Bool[np.ndarray, " n"]) -> list[str]:
    """The patients of some cases, one entry a case."""
    return [patient for patient, inside in zip(patient_ids, cases, strict=True) if inside]


def patients_by_side(patient_ids: Sequence[str], present: Bool[np.ndarray, " n"]) -> dict[str, int]:
    """How many patients have a case with the finding, and how many one without."""
    return {
        "patients with the finding": len(set(patients_of(patient_ids, present))),
        "without": len(set(patients_of(patient_ids, ~present))),
    }


def best_side(sides: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Of a mean over findings: the smaller side of the finding that has the largest such, at most."""
    return {"patients at most on a side of a finding": max(min(counts.values()) for counts in sides)}


def counted(patient_ids: Sequence[str]) -> dict[str, int]:
    """What a figure rests on; one image stands for each study."""
    return {"n_images": len(patient_ids), "n_patients": len(set(patient_ids))}


def mean_over(
    values: Float[np.ndarray, " n"], weights: Float32[np.ndarray, "n s"]
) -> Float[np.ndarray, " s"]:
    """The weighted mean in each resample; NaN where nothing is left."""
    total = weights.sum(axis=0, dtype=np.float64)
    return divided(values.astype(np.float64) @ weights.astype(np.float64), total)


def median_over(
    values: Float[np.ndarray, " n"], weights: Float32[np.ndarray, "n s"]
) -> Float[np.ndarray, " s"]:
    """The weighted median in each resample: numpy's, with each value repeated as often as its weight says."""
    order = np.argsort(values, kind="stable")
    ranked, reached = values[order], weights[order].cumsum(axis=0, dtype=np.float64)
    half = reached[-1] / 2
    # Where half the weight is reached exactly, the median lies midway between two values, as numpy's does.
    lower, upper = (reached >= half).argmax(axis=0), (reached > half).argmax(axis=0)
    return np.where(half > 0, (ranked[lower] + ranked[upper]) / 2, np.nan)


def divided(top: Float[np.ndarray, "*d"], bottom: Float[np.ndarray, "*d"]) -> Float[np.ndarray, "*d"]:
    """top / bottom, NaN where bottom is 0."""
    return np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)


def mean_defined(values: Float[np.ndarray, "f s"]) -> Float[np.ndarray, " s"]:
    """Mean over the findings that are defined in each resample."""
    defined = np.isfinite(values)
    return divided(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64))


def why_undefined(labels: Float[np.ndarray, " n"]) -> str:
    """Which class a finding lacks."""
    positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
    return f"{positive} positive and {negative} negative cases; needs one of each"
