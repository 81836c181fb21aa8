"""The same tuning for every objective: draws, trials, the choice."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medistill.compare.cell import Cell, read_result, write_json
from medistill.compare.comparison import TUNING_SEED, Comparison
from medistill.compare.entrant import Entrant
from medistill.recipe import Recipe
from medistill.system.json_files import read_json

Tuned = Mapping[str, Mapping[str, Any]]
"""By label: `trials`, and the `chosen` lr, scale and warmup, None if every trial failed; `edge`."""
TUNED = "tuned.json"
RATE_SPAN = 4.0
"""The learning rate is drawn between the recipe's divided and multiplied by it, evenly in its logarithm."""
SCALES = (5.0, 40.0)
"""The scale's start, evenly in its logarithm."""
WARMUPS = (0.02, 0.3)
"""The warm-up's share of the run, evenly."""


class Draw(NamedTuple):
    """One trial's values; none for the first, which leaves the recipe as it is."""

    rate_factor: float
    scale: float
    warmup: float


def draws(trials: int) -> tuple[Draw | None, ...]:
    """The same for every objective and every call: the recipe's own values, then a Latin hypercube.

    Each axis is cut into as many slices as there are draws, and each slice is drawn from once.
    """
    count = max(trials - 1, 0)
    random = np.random.default_rng([TUNING_SEED, count])
    columns = [(random.permutation(count) + random.random(count)) / max(count, 1) for _ in range(3)]
    lows, highs = np.array([(1 / RATE_SPAN, RATE_SPAN), SCALES, WARMUPS]).T
    drawn = [
        Draw(
            float(lows[0] * (highs[0] / lows[0]) ** rate),
            float(lows[1] * (highs[1] / lows[1]) ** scale),
            float(lows[2] + (highs[2] - lows[2]) * warmup),
        )
        for rate, scale, warmup in zip(*columns, strict=True)
    ]
    return (None, *drawn)[: max(trials, 0)]


def with_draw(recipe: Recipe, draw: Draw | None) -> Recipe:
    """The recipe with the trial's values."""
    if draw is None:
        return recipe
    lr = recipe.lr * draw.rate_factor
    return dataclasses.replace(recipe, lr=lr, scale=draw.scale, warmup=draw.warmup)


def trial_cells(comparison: Comparison) -> list[Cell]:
    """One cell a trial and objective, trial by trial, so that all objectives get as far at any time.

    Without tuning, equal time still needs to know the speeds: then the recipe's own values are run once.
    """
    speeds_needed = "samples" not in comparison.budgets
    trials = draws(comparison.trials or int(speeds_needed))
    return [
        Cell(
            label=entrant.label,
            recipe=dataclasses.replace(with_draw(entrant.recipe, draw), seed=TUNING_SEED),
            trial=trial,
        )
        for trial, draw in enumerate(trials)
        for entrant in comparison.entrants
    ]


def settle(comparison: Comparison, cells: list[Cell], out: Path) -> Tuned:
    """The best trial of each objective by validation; written once, so that final cells never change."""
    path = out / TUNED
    if not path.is_file():
        tuned = {entrant.label: _chosen(comparison, entrant, cells, out) for entrant in comparison.entrants}
        write_json(path, tuned)
    return read_json(path)


def final_recipe(entrant: Entrant, tuned: Tuned) -> Recipe | None:
    """The recipe with the chosen values; None if every trial failed."""
    chosen = tuned[entrant.label]["chosen"]
    return dataclasses.replace(entrant.recipe, **chosen) if chosen else None


def _chosen(comparison: Comparison, entrant: Entrant, cells: list[Cell], out: Path) -> dict[str, Any]:
    if not comparison.trials:
        return {"trials": [], "chosen": _values(entrant.recipe), "best": None, "edge": None}
    trials = [_trial(cell, out) for cell in cells if cell.label == entrant.label]
    scored = [trial for trial in trials if trial["standing"] is not None]
    if not scored:
        return {"trials": trials, "chosen": None, "best": None, "edge": None}
    best = max(scored, key=lambda trial: trial["standing"])
    chosen = {name: best[name] for name in _values(entrant.recipe)}
    return {"trials": trials, "chosen": chosen, "best": best["trial"], "edge": _edge(best, trials)}


def _trial(cell: Cell, out: Path) -> dict[str, Any]:
    """What a trial tried and came to: by recall, and where that ties by the loss, as within a run."""
    result = read_result(cell, out) or {"failed": "it was not run"}
    scored = result["failed"] is None
    return {
        "trial": cell.trial,
        **_values(cell.recipe),
        "recall": result["recall"] if scored else None,
        "standing": [result["recall"], -result["validation"]["val/loss"]] if scored else None,
        "failed": result["failed"],
    }


def _values(recipe: Recipe) -> dict[str, float]:
    return {"lr": recipe.lr, "scale": recipe.scale, "warmup": recipe.warmup}


def _edge(best: Mapping[str, Any], trials: list[dict[str, Any]]) -> str | None:
    """Whether a learning rate beyond all that were tried might have been better still."""
    rates = sorted(trial["lr"] for trial in trials)
    if len(set(rates)) < 2 or rates[0] < best["lr"] < rates[-1]:
        return None
    return "largest" if best["lr"] == rates[-1] else "smallest"
