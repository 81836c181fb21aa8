"""What is compared and how: settings on disk, refused where they differ."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medistill.compare.cell import write_json
from medistill.compare.entrant import Entrant
from medistill.errors import CallError
from medistill.recipe import FREE_ON_RESUME, Recipe, to_config, with_added
from medistill.system.json_files import read_json

SETTINGS = "compare.json"
TUNING_SEED = 1000
"""Seeds from here on are for tuning, those below it for the final figures."""
Cost = float
"""Processor milliseconds a pair; on a card, milliseconds by the clock."""
Budget = Callable[[int, Cost | None, Cost | None], int | None]
"""The recipe's epochs, the objective's cost, the baseline's -> the objective's epochs; None if not known."""
TITLES = {"samples": "equal samples", "time": "equal time"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything the figures depend on, but the corpus."""

    recipe: Recipe
    entrants: tuple[Entrant, ...]
    baseline: str
    seeds: int
    trials: int
    """Tuning trials of every objective; 0 leaves the recipe's values as they are."""
    budgets: tuple[str, ...]
    memory: int = 0
    """Bytes that every objective may take: its micro-batch becomes the largest that fits. 0: the recipe's."""
    min_positives: int = 0
    """Tested studies that must show a finding for it to count in means over findings; then none that says
    normal counts either. 0: all findings count."""

    def __post_init__(self) -> None:
        check_budgets(self.budgets)
        self._check_own_budgets()
        labels = [entrant.label for entrant in self.entrants]
        if self.baseline not in labels:
            raise CallError(
                f"the baseline {self.baseline!r} is not among --objectives ({', '.join(labels)}); "
                "name one of them with --baseline"
            )
        if not 1 <= self.seeds <= TUNING_SEED:
            raise CallError(f"--seeds is {self.seeds}; it must lie in 1..{TUNING_SEED}")
        if self.trials < 0:
            raise CallError(f"--trials is {self.trials}; it must be at least 0")
        if self.min_positives < 0:
            raise CallError(f"--min-positives is {self.min_positives}; it must be at least 0")
        if self.recipe.seed:
            raise CallError(f"--seed is {self.recipe.seed}; a comparison sets its seeds itself, see --seeds")
        if self.recipe.fold:
            raise CallError(f"--fold is {self.recipe.fold}; a comparison tests seed k on fold k, see --folds")

    def _check_own_budgets(self) -> None:
        for entrant in self.entrants:
            unknown = set(entrant.budgets or ()) - set(self.budgets)
            if unknown or (entrant.budgets is not None and entrant.label == self.baseline):
                said = "the baseline takes part in all" if not unknown else f"--budgets has no {min(unknown)}"
                raise CallError(f"settings of {entrant.label}: budgets: {said}; leave them out for all")

    def entrant(self, label: str) -> Entrant:
        """The entrant of that label."""
        return next(entrant for entrant in self.entrants if entrant.label == label)

    def entrants_of(self, budget: str) -> tuple[Entrant, ...]:
        """Those that take part in a budget, in their order."""
        return tuple(e for e in self.entrants if e.budgets is None or budget in e.budgets)

    def settings(self, corpus_hash: str) -> dict[str, Any]:
        """As plain JSON values; an entrant by the fields in which it differs from the recipe."""
        return {
            "corpus": corpus_hash,
            "recipe": to_config(self.recipe),
            "objectives": {entrant.label: own_fields(self.recipe, entrant) for entrant in self.entrants},
            "baseline": self.baseline,
            "seeds": self.seeds,
            "trials": self.trials,
            "tuning_seed": TUNING_SEED,
            "budgets": list(self.budgets),
            "memory": self.memory,
            "min_positives": self.min_positives,
        }


def own_fields(recipe: Recipe, entrant: Entrant) -> dict[str, Any]:
    """The objective, and what else the entrant sets for itself."""
    common, own = to_config(recipe), to_config(entrant.recipe)
    differing = {name: own[name] for name in own if own[name] != common[name] and name != "objective"}
    limited = {} if entrant.budgets is None else {"budgets": list(entrant.budgets)}
    return {"objective": entrant.recipe.objective, **differing, **limited}


def claim_settings(comparison: Comparison, corpus_hash: str, out: Path) -> None:
    """Write compare.json, or CallError naming what differs from the one that is there."""
    settings = json.loads(json.dumps(comparison.settings(corpus_hash)))
    path = out / SETTINGS
    if path.is_file():
        before = read_json(path, f"{path} is damaged: it cannot be read as JSON; give another --out")
        differing = _differing(before, settings)
        if differing:
            raise CallError(
                f"{out} holds another comparison (it differs in {', '.join(differing)}); "
                "give the same settings to go on with it, or another --out"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CallError(f"{out} is there and holds no comparison; give a new folder as --out")
    write_json(path, settings)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What would give other figures; recipe fields by their own names.

    What settings of an earlier version lack had the value that version worked with.
    """
    before = {"min_positives": 0, **_with_added(before)}
    names = [name for name in after if name != "recipe" and before.get(name) != after[name]]
    old, new = before.get("recipe", {}), after["recipe"]
    fields = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return names + [name for name in fields if name not in FREE_ON_RESUME]


def _with_added(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an earlier version with the recipe fields that were added since; as they are if damaged."""
    try:
        recipe = with_added(settings["recipe"])
        own = {
            label: {**fields, **{name: with_added({**recipe, **fields})[name] for name in fields}}
            for label, fields in settings["objectives"].items()
        }
    except (KeyError, TypeError, AttributeError):
        return dict(settings)
    return {**settings, "recipe": recipe, "objectives": own}


def check_budgets(names: tuple[str, ...]) -> None:
    """CallError for an unknown budget, none at all, or one named twice."""
    unknown = [name for name in names if name not in BUDGETS]
    if unknown or not names or len(set(names)) < len(names):
        named = unknown[0] if unknown else " ".join(names) or "none"
        raise CallError(f"--budgets: {named}; give one or more of {', '.join(BUDGETS)}, each once")


def samples(epochs: int, cost: Cost | None, baseline: Cost | None) -> int:
    """Equal samples: everyone sees every pair as often."""
    return epochs


def time(epochs: int, cost: Cost | None, baseline: Cost | None) -> int | None:
    """Equal time: as many epochs as fit into the time of the baseline's, at least one."""
    if cost is None or baseline is None:
        return None
    return max(1, round(epochs * baseline / cost))


BUDGETS: Mapping[str, Budget] = {f.__name__: f for f in (samples, time)}
"""A budget more is a function more."""
