"""A figure in words."""

from collections.abc import Mapping
from typing import Any

NOTHING = "-"


def number(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def in_words(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The value and its interval as shown; a dash where there is none."""
    value, low, high = (entry[part] for part in ("value", "low", "high"))
    if value is None:
        return NOTHING, NOTHING
    digits = 1 if max(abs(float(v)) for v in (value, high) if v is not None) >= 10 else 3
    if low is None or high is None:
        interval = "too few patients" if entry.get("reason") else NOTHING
    else:
        interval = f"{float(low):.{digits}f} to {float(high):.{digits}f}"
    return f"{float(value):.{digits}f}", interval


def in_sentence(steps: Mapping[str, Any] | None) -> str:
    """A model's own preprocessing, as name and value; a step it leaves out is not named."""
    if not steps:
        return "prepared by the model itself, which does not say how"
    return "; ".join(f"{name.replace('_', ' ')} {_value(v)}" for name, v in steps.items() if v is not None)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(k).replace('_', ' ')} {_value(v)}" for k, v in value.items())  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure(entry: Mapping[str, Any], shape: str = ".3f") -> str:
    if entry["value"] is None:
        return f"not defined: {entry['reason']}"
    n = f"n = {entry['n_images']} images, {entry['n_patients']} patients"
    if entry["low"] is None or entry["high"] is None:
        return f"{entry['value']:{shape}} [{entry.get('reason', 'no interval')}]  {n}"
    value, low, high = (format(entry[part], shape) for part in ("value", "low", "high"))
    return f"{value} [{low}, {high}]  {n}"


def in_units(size: int | float) -> str:
    """Bytes for people: 11.2 GB, 840 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
