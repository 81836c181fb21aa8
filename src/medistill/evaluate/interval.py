"""Bootstrap intervals over patients, and the shape of a reported figure."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32

Entry = dict[str, float | int | str | None]
"""One figure: value, low, high, n_images, n_patients; `reason` where the value is None."""
Metrics = dict[str, Entry]
"""The figures of one task by the metric's name."""


def resample_counts(n: int, resamples: int, *, seed: Sequence[int]) -> Float32[np.ndarray, "{n} s"]:
    """How often each of `n` units is drawn in each resample; column 0 is the sample itself, all ones."""
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n))
    flat = (drawn + n * np.arange(resamples)[:, None]).ravel()
    counts = np.bincount(flat, minlength=n * resamples).reshape(resamples, n).T
    return np.concatenate([np.ones((n, 1)), counts], axis=1).astype(np.float32)


def patient_weights(
    patient_ids: Sequence[str], resamples: int, *, seed: int | Sequence[int]
) -> Float32[np.ndarray, "n s"]:
    """Weight of each case in each resample of whole patients; column 0 is the sample itself.

    Every statistic is computed once per column: its first value is the figure, the rest its spread.
    """
    patients, patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    seeds = [seed] if isinstance(seed, int) else list(seed)
    return resample_counts(len(patients), resamples, seed=seeds)[patient]


def percentile_interval(spread: Float[np.ndarray, " r"], level: float = 0.95) -> tuple[float, float]:
    """The percentile interval; resamples in which the figure is not defined (NaN) are left out."""
    defined = spread[np.isfinite(spread)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def figure(
    values: Float[np.ndarray, " s"], patient_ids: Sequence[str], *, reason: str = "not defined"
) -> Entry:
    """The figure `values[0]`, with its interval from the rest; None, for this reason, if it is NaN."""
    if not np.isfinite(values[0]):
        return undefined(reason, patient_ids)
    low, high = percentile_interval(values[1:]) if len(values) > 1 else (float("nan"), float("nan"))
    return {
        "value": float(values[0]),
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
        **counted(patient_ids),
    }


def undefined(reason: str, patient_ids: Sequence[str]) -> Entry:
    """A figure that the data do not define: never 0."""
    return {"value": None, "low": None, "high": None, "reason": reason, **counted(patient_ids)}


def patients_of(patient_ids: Sequence[str], cases: Bool[np.ndarray, " n"]) -> list[str]:
    """The patients of some cases, one entry a case."""
    return [patient for patient, inside in zip(patient_ids, cases, strict=True) if inside]


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
    lower, upper = (reached >= half).argmax(axis=0), (reached > half).argmax(axis=0)
    return np.where(half > 0, (ranked[lower] + ranked[upper]) / 2, np.nan)


def divided(top: Float[np.ndarray, "*d"], bottom: Float[np.ndarray, "*d"]) -> Float[np.ndarray, "*d"]:
    """top / bottom, NaN where bottom is 0."""
    return np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)


def mean_defined(values: Float[np.ndarray, "f s"]) -> Float[np.ndarray, " s"]:
    """Mean over the findings that are defined in each resample."""
    defined = np.isfinite(values)
    return divided(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64))
