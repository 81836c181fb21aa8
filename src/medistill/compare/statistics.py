"""Intervals over seeds and over patients, alone and as paired differences.

A handful of seeds calls for Student's t: a percentile bootstrap over five of them covers 84 %, not 95 %,
because it resamples a spread that is itself estimated from five values.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from medistill.evaluate.interval import percentile_interval

Interval = tuple[float, float]


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """The mean's interval over independent seeds; None for a single one.

    mean +- t(n - 1) * sd / sqrt(n)
    """
    n = len(values)
    if n < 2:
        return None
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * deviation / n**0.5
    return mean - half, mean + half


def paired_t_interval(
    values: Sequence[float], others: Sequence[float], level: float = 0.95
) -> Interval | None:
    """Interval of the mean difference of two objectives, seed by seed; None for a single seed."""
    return t_interval([value - other for value, other in zip(values, others, strict=True)], level)


def patient_interval(spreads: Float[np.ndarray, "s r"], level: float = 0.95) -> Interval | None:
    """Interval of the mean over s trained models when the r resamples draw other patients.

    The same patients are drawn for every model, so `spreads` may hold differences. None if no resample
    defines the figure.
    """
    low, high = percentile_interval(spreads.mean(axis=0), level)
    return (low, high) if np.isfinite(low) else None
