"""The command that a comparison comes of, as its results quote it."""

import dataclasses
import shlex
from collections.abc import Iterator
from typing import Any

from medistill.compare.comparison import Comparison, own_fields
from medistill.recipe import FREE_ON_RESUME, RECIPES, Recipe

_CALL = ("seeds", "trials", "baseline", "budgets", "memory", "min_positives")
_UNSET = {"memory": 0, "min_positives": 0}
"""What need not be said."""


def command(comparison: Comparison) -> str:
    """The words to give again; CORPUS, OUT and SETTINGS stand for places, which are no business of a reader.

    What SETTINGS held is beside it in the results, by label.
    """
    labels = [entrant.label for entrant in comparison.entrants]
    words = ["medistill", "compare", comparison.recipe.name, "--data", "CORPUS", "--out", "OUT"]
    words += ["--objectives", *labels]
    if any(own_fields(comparison.recipe, e) != {"objective": e.label} for e in comparison.entrants):
        words += ["--settings", "SETTINGS"]
    for name in _CALL:
        value = getattr(comparison, name)
        if name not in _UNSET or value != _UNSET[name]:
            words += _flag(name, f"{value / 1e6}MB" if name == "memory" else value)
    return shlex.join([*words, *_recipe_flags(comparison.recipe)])


def _recipe_flags(recipe: Recipe) -> list[str]:
    """What was given beside the ready recipe, but for what leaves the figures as they are."""
    if recipe.name not in RECIPES:
        return []
    ready = dict(_fields(RECIPES[recipe.name]()))
    given = {name: value for name, value in _fields(recipe) if value != ready[name]}
    return [word for name, value in given.items() for word in _flag(name, value)]


def _fields(settings: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that a flag can set, a tower's with the tower's name before it."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f"{field.name}.")
        elif isinstance(value, bool | int | float | str) and field.name not in (*FREE_ON_RESUME, "name"):
            yield f"{above}{field.name}", value


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{flag}", *map(str, values)]
