"""How long each objective may train: a function a budget."""

from collections.abc import Callable, Mapping

from medistill.errors import CallError

Cost = float
"""Processor milliseconds a pair; on a card, milliseconds by the clock."""
Budget = Callable[[int, Cost | None, Cost | None], int | None]
"""The recipe's epochs, the objective's cost, the baseline's -> the objective's epochs; None if not known."""


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
TITLES = {"samples": "equal samples", "time": "equal time"}


def check_budgets(names: tuple[str, ...]) -> None:
    """CallError for an unknown budget, none at all, or one named twice."""
    unknown = [name for name in names if name not in BUDGETS]
    if unknown or not names or len(set(names)) < len(names):
        found = unknown[0] if unknown else " ".join(names) or "none"
        raise CallError(f"--budgets: {found}; give one or more of {', '.join(BUDGETS)}, each once")
