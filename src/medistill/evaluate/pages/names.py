"""What figures are called on pages, and in which order they stand."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import yaml

_SHOWN = yaml.safe_load(files(__package__ or "").joinpath("names.yaml").read_text("utf-8"))
TASKS: dict[str, str] = _SHOWN["tasks"]
NAMES: dict[str, str] = _SHOWN["figures"]
UNBOUNDED = {"rsum", "i2t_median_rank", "i2t_mean_rank", "pointing_game_over_center", "cnr", "cnr_signed"}
LOWER_IS_BETTER = {"ece", "brier", "i2t_mean_rank", "i2t_median_rank"}


def in_order(names: Mapping[str, object], first: Sequence[str]) -> list[str]:
    """Known names in the page's order, then the rest."""
    return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))
