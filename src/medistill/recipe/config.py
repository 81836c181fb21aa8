"""A recipe as a run's config.json holds it."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.recipe.fields import Encoder, Recipe

FREE_ON_RESUME = ("workers", "log_every", "checkpoint_seconds", "graphs")
"""Fields that do not touch the weights."""
ADDED: Mapping[str, Any] = {
    "image_micro_batch": 0,
    "text_micro_batch": 0,
    "fastclip_version": "v1",
    "graphs": "auto",
    "head": "linear",
    "text_part": "whole",
    "augment_strength": 1.0,
    "folds": 0,
    "fold": 0,
}
"""Fields that configs of earlier versions lack, at the values those versions trained with."""
ADDED_TO_TOWERS: Mapping[str, Any] = {"locked": False, "lora_rank": 0}
"""The same of `image` and `text`."""
TOWERS = ("image", "text")


def to_config(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values."""
    return dataclasses.asdict(recipe)


def from_config(config: Mapping[str, Any]) -> Recipe:
    """The inverse of `to_config`, also an earlier version's; CallError for an unknown or absent field."""
    known, config = {f.name for f in dataclasses.fields(Recipe)}, with_added(config)
    if set(config) != known:
        odd = sorted(set(config) ^ known)
        raise CallError(f"config.json has other fields than this version's recipe ({', '.join(odd[:5])})")
    values: dict[str, Any] = dict(config)
    for tower in TOWERS:
        values[tower] = Encoder(**config[tower])
    return Recipe(**values)


def with_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """An earlier version's config with the fields that were added since."""
    towers = {name: {**ADDED_TO_TOWERS, **config[name]} for name in TOWERS}
    return {**ADDED, **config, **towers}


def read_config(path: Path) -> Recipe:
    """The resolved recipe of a run folder's config.json."""
    try:
        return from_config(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise CallError(f"{path} is damaged or of another version ({error}); give another --out") from error


def differing_fields(old: Recipe, new: Recipe) -> list[str]:
    """Fields, but those free to change, in which two recipes would train other weights."""
    before, after = to_config(old), to_config(new)
    return [name for name in before if before[name] != after[name] and name not in FREE_ON_RESUME]
