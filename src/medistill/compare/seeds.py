"""What the final cells of one objective came to, seed by seed."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from medistill.compare.cell import Cell, Result, read_result, read_spread
from medistill.evaluate.statistics.interval import percentile_interval

Interval = tuple[float, float]

_FIGURE = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """The final cells of one objective under one budget."""

    cells: tuple[Cell, ...]
    results: tuple[Result, ...]
    failed: Mapping[int, str]
    """The reason of each seed that failed."""
    entries: tuple[Mapping[str, Mapping[str, Any]], ...]
    """By seed: each figure with its interval and n, by task/metric; empty where the seed failed."""
    spreads: tuple[Mapping[str, Float[np.ndarray, " r"]], ...]
    """By seed: the resampled values of each defined figure."""

    def values(self, name: str) -> list[float] | None:
        """A figure by seed; None unless every seed has it."""
        values = [entries.get(name, {}).get("value") for entries in self.entries]
        known = [float(value) for value in values if value is not None]
        return known if known and len(known) == len(values) else None

    def spread(self, name: str) -> Float[np.ndarray, "s r"]:
        """The resampled values of a figure that every seed has."""
        return np.stack([spread[name] for spread in self.spreads])


def read_seeds(cells: Sequence[Cell], out: Path) -> Seeds:
    """Read the results of cells that have ended."""
    results = [read_result(cell, out) or {"failed": "it was not run", "retry": True} for cell in cells]
    reasons = {cell.recipe.seed: reason_of(result) for cell, result in zip(cells, results, strict=True)}
    scored = [result.get("metrics", {}) for result in results]
    entries = [
        {f"{task}/{name}": entry for task, named in metrics.items() for name, entry in named.items()}
        for metrics in scored
    ]
    return Seeds(
        cells=tuple(cells),
        results=tuple(results),
        failed={seed: reason for seed, reason in reasons.items() if reason},
        entries=tuple(entries),
        spreads=tuple(
            read_spread(cell, out) if metrics else {} for cell, metrics in zip(cells, scored, strict=True)
        ),
    )


def distinct(reasons: Iterable[str]) -> list[str]:
    """Each reason once; of those that differ in their figures alone, the first."""
    kinds: dict[str, str] = {}
    for reason in reasons:
        kinds.setdefault(_FIGURE.sub("", reason), reason)
    return list(kinds.values())


def reason_of(result: Result) -> str | None:
    """Why a seed counts as failed: it stopped, or what it learned finds reports no better than chance."""
    if result["failed"]:
        return str(result["failed"])
    retrieval = result["metrics"]["retrieval"]
    return at_chance(retrieval["i2t_r@10"], retrieval["chance_r@10"])


def at_chance(recall: Mapping[str, Any], chance: Mapping[str, Any]) -> str | None:
    """The collapse of a run that ended: recall within two standard errors of chance.

    Too few studies to tell recall from chance are no ground for it.
    """
    value, blind, n = recall["value"], chance["value"], recall["n_images"]
    if value is None or blind is None:
        return None
    # Two standard errors of a share of n: a run that learned nothing passes by luck one time in 40.
    bound = blind + 2 * math.sqrt(blind * (1 - blind) / n)
    if bound >= 1 or value > bound:
        return None
    return f"it has collapsed: recall@10 {value:.3f} on the test split is within noise of chance, {blind:.3f}"


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


def patient_interval(spreads: Float[np.ndarray, "s r"], level: float = 0.95) -> Interval | None:
    """Interval of the mean over s trained models when the r resamples draw other patients.

    The same patients are drawn for every model, so `spreads` may hold differences. None if no resample
    defines the figure.
    """
    low, high = percentile_interval(spreads.mean(axis=0), level)
    return (low, high) if np.isfinite(low) else None
