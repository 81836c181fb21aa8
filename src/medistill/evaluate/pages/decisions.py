"""The page's calibration curves: where the parts of each lie, and the values of its bins."""

from collections.abc import Mapping, Sequence
from typing import Any

_STAGES = {"before": "Before fitting", "after": "After fitting on validation"}
_WIDTH, _HEIGHT = 330, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 8, 36
_COUNTS = 46
"""Height of the bars that count, below the curve."""
_MARKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def calibration_curves(reliability: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A calibration curve for each stage."""
    return [_curve(_STAGES[stage], bins) for stage, bins in reliability.items()]


def _curve(title: str, bins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    xs = [f"{_across(one['probability']):.1f}" for one in bins]
    values, lows, highs = (
        [f"{_up(one['present'][part]):.1f}" for one in bins] for part in ("value", "low", "high")
    )
    return {
        "title": title,
        "bins": bins,
        "n_labels": sum(one["present"]["n_labels"] for one in bins),
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "floor": _HEIGHT - _BOTTOM,
        "rows": [(f"{_up(mark):.1f}", f"{mark:g}") for mark in _MARKS],
        "columns": [(f"{_across(mark):.1f}", f"{mark:g}") for mark in _MARKS],
        "points": list(zip(xs, values, strict=True)),
        "intervals": list(zip(xs, lows, highs, strict=True)),
        "bars": _bars(bins),
    }


def _bars(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """How many labels each bin has; none is too low to be seen."""
    floor, most = _HEIGHT - _BOTTOM, max(one["present"]["n_labels"] for one in bins)
    bars: list[dict[str, str]] = []
    for one in bins:
        left, right = _across(one["from"]) + 1, _across(one["to"]) - 1
        height = max(1.0, (_COUNTS - 8) * one["present"]["n_labels"] / most)
        sizes = {"x": left, "y": floor - height, "width": right - left, "height": height}
        bars.append({name: f"{size:.1f}" for name, size in sizes.items()})
    return bars


def _across(x: float) -> float:
    return _LEFT + x * (_WIDTH - _LEFT - _RIGHT)


def _up(y: float) -> float:
    floor = _HEIGHT - _BOTTOM - _COUNTS
    return floor - y * (floor - _TOP)
