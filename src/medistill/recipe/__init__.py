"""Everything a run depends on: its fields, ready recipes, and how they are written down."""

from medistill.recipe.config import (
    ADDED,
    FREE_ON_RESUME,
    differing_fields,
    from_config,
    read_config,
    to_config,
    with_added,
)
from medistill.recipe.fields import Encoder, Recipe
from medistill.recipe.ready import RECIPES, chest_resnet50, chest_vitb, indiana, msd_paper, quickstart, small

__all__ = [
    "ADDED",
    "FREE_ON_RESUME",
    "RECIPES",
    "Encoder",
    "Recipe",
    "chest_resnet50",
    "chest_vitb",
    "differing_fields",
    "from_config",
    "indiana",
    "msd_paper",
    "quickstart",
    "read_config",
    "small",
    "to_config",
    "with_added",
]
