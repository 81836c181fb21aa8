"""Who takes part: an objective under a label, with settings of its own."""

import codecs
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from medistill.errors import CallError
from medistill.recipe import Recipe

_HINTS = get_type_hints(Recipe)
_SET_HERE = {
    "name": "a label",
    "seed": "--seeds",
    "epochs": "the budget",
    "folds": "--folds, the same for all",
    "fold": "the seed",
}
"""Fields that a comparison sets itself, and by what."""
Settings = Mapping[str, Mapping[str, Any]]
"""Recipe fields by label; `objective` among them if the label is not an objective's name, and `budgets`."""
BUDGETS_OF_ITS_OWN = "budgets"


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One row of the comparison."""

    label: str
    recipe: Recipe
    """With its objective and settings; learning rate, scale and warm-up may still be tuned."""
    budgets: tuple[str, ...] | None = None
    """The only ones of the comparison's budgets that it takes part in; None: all."""


def objectives() -> tuple[str, ...]:
    """Every objective a recipe can name."""
    return get_args(_HINTS["objective"])


def make_entrants(recipe: Recipe, labels: Sequence[str], settings: Settings) -> tuple[Entrant, ...]:
    """One entrant a label; CallError for a label, field or value that cannot be."""
    for label, fields in settings.items():
        _with_settings(recipe, label, fields)  # all of them, so that a slip is not passed over in silence
    twice = sorted({label for label in labels if list(labels).count(label) > 1})
    if twice:
        raise CallError(f"--objectives names {', '.join(twice)} more than once")
    return tuple(
        Entrant(
            label=label,
            recipe=_with_settings(recipe, label, settings.get(label, {})),
            budgets=_own_budgets(label, settings.get(label, {})),
        )
        for label in labels
    )


def read_settings(path: Path) -> Settings:
    """Settings from a JSON file; CallError if it does not hold an object of objects."""
    try:
        settings: Any = json.loads(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except (OSError, ValueError) as error:
        raise CallError(f"cannot read settings from {path}: {error}") from error
    if not isinstance(settings, dict) or not all(isinstance(fields, dict) for fields in settings.values()):
        raise CallError(f'{path} must hold {{"objective or label": {{"field": value, ...}}, ...}}')
    return settings


def _own_budgets(label: str, fields: Mapping[str, Any]) -> tuple[str, ...] | None:
    own: Any = fields.get(BUDGETS_OF_ITS_OWN)
    if own is None:
        return None
    if not isinstance(own, list) or not own or not all(isinstance(name, str) for name in own):
        raise CallError(
            f'settings of {label}: budgets is {json.dumps(own)}; it must be a list, as ["samples"]'
        )
    return tuple(own)


def _with_settings(recipe: Recipe, label: str, fields: Mapping[str, Any]) -> Recipe:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", label):
        raise CallError(f"label {label!r} must be made of letters, digits and . _ + -")
    objective = fields.get("objective", label)
    if objective not in objectives():
        raise CallError(
            f"{objective!r} is no objective; there are {', '.join(objectives())}, and a label of your own "
            '(--settings) names one of them as "objective"'
        )
    fields = {name: value for name, value in fields.items() if name != BUDGETS_OF_ITS_OWN}
    checked = {name: _checked(label, recipe, name, value) for name, value in fields.items()}
    try:
        return dataclasses.replace(recipe, **{**checked, "objective": objective})
    except CallError as error:
        raise CallError(f"{label}: {error}") from error


def _checked(label: str, recipe: Recipe, name: str, value: Any) -> Any:
    """The value as the recipe wants it; a tower's fields take the place of the recipe's one by one."""
    if name in _SET_HERE:
        raise CallError(f"settings of {label}: {name} is set by {_SET_HERE[name]}, not here")
    if name not in _HINTS:
        raise CallError(f"settings of {label}: a recipe has no field {name!r}")
    hint, tower = _HINTS[name], getattr(recipe, name)
    if not dataclasses.is_dataclass(hint):
        return _typed(f"settings of {label}: {name}", value, hint)
    if not isinstance(value, dict):
        raise CallError(f"settings of {label}: {name} is {value!r}; it must be an object of its fields")
    hints = get_type_hints(hint)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise CallError(f"settings of {label}: {name} has no field {unknown[0]!r}")
    typed = {k: _typed(f"settings of {label}: {name}.{k}", v, hints[k]) for k, v in value.items()}
    return dataclasses.replace(tower, **typed)


def _typed(what: str, value: Any, hint: Any) -> Any:
    """A JSON value as a Python value of this type; CallError naming what was expected."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for option in options:
        if option is float and type(value) in (int, float):
            return float(value)
        if _is(value, option):
            return tuple(value) if isinstance(value, list) else value
    raise CallError(f"{what} is {json.dumps(value)}; it must be {_in_words(hint)}")


def _is(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in get_args(hint))
    if isinstance(value, list | dict):
        plain = origin or hint
        return isinstance(plain, type) and issubclass(tuple if isinstance(value, list) else dict, plain)
    return type(value) is hint


def _in_words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(json.dumps(one) for one in get_args(hint))
    return {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}.get(
        hint, str(hint)
    )
