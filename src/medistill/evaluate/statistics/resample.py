"""Figures over resamples: of whole patients, some resamples at a time, and of draws."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float32

from medistill.evaluate.statistics.interval import (
    Entry,
    Figure,
    Metrics,
    Resampling,
    counts_in_blocks,
    divided,
    resample_counts,
)

Task = Callable[[Float32[np.ndarray, "n s"]], Metrics]
"""What a task makes of its cases' weights, a column a resample."""
OverPatients = Callable[[Task], Metrics]
"""A task's figures over resamples of its patients: `resampled`, but for the task."""

MOST_WEIGHTS = 2**25
"""Weights held at a time: 128 MB."""
_FEWEST = 256


def resampled(
    task: Task,
    patient_ids: Sequence[str],
    *,
    resamples: int,
    seed: int,
    at_once: int | None = None,
) -> Metrics:
    """What `task` makes of the weights of `interval.patient_weights`; each figure knows its resampling.

    at_once   resamples a call; by default as many as 128 MB of weights hold, so 1,000 for 33,000 cases
    """
    # Patients are drawn, not images: those of one patient are alike, and drawn apart would narrow intervals.
    patients, patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    at_once = at_once or max(_FEWEST, MOST_WEIGHTS // max(1, len(patient)))
    parts = [
        task(np.ascontiguousarray(counts[:, patient].T))
        for counts in counts_in_blocks(len(patients), resamples, seed=[seed], at_once=at_once)
    ]
    how = Resampling(tuple(patients.tolist()), resamples, (seed,))
    return {name: _joined([part[name] for part in parts], how) for name in parts[0]}


def over_draws(areas: Float[np.ndarray, "r s"], *, seed: int) -> Float[np.ndarray, " s"]:
    """Mean over the r draws, which are themselves resampled in every column but the first."""
    counts = resample_counts(len(areas), areas.shape[1] - 1, seed=[seed, len(areas)]).astype(np.float64)
    counts = np.where(np.isfinite(areas), counts, 0.0)  # a draw that a resample leaves undefined has no say
    return divided((counts * np.nan_to_num(areas)).sum(axis=0), counts.sum(axis=0))


def _joined(parts: Sequence[Entry], how: Resampling) -> Entry:
    first = parts[0]
    if not isinstance(first, Figure):
        return first
    spread = np.concatenate([part.spread for part in parts if isinstance(part, Figure)])
    first.spread_over(spread)
    first.resampling = how
    return first
