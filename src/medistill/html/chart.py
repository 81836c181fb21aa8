"""Where the parts of a chart lie; the template `parts.html` draws them, with the page's own colors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH, _HEIGHT = 380, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 10, 38
_DOTTED = 30
"""A line of more points is drawn without dots."""


@dataclass(frozen=True, kw_only=True)
class RangePlot:
    """A dot on its interval, in percent of the plot's width."""

    value: str
    low: str | None
    high: str | None
    mark: str | None
    """Where a dashed line stands: chance, or no difference."""
    hollow: bool
    """A ring, for what the interval leaves open."""


def range_plot(
    entry: Mapping[str, Any], *, domain: tuple[float, float], mark: float | None, hollow: bool = False
) -> RangePlot:
    """A figure that has a value, on its interval if it has one; what is outside the domain is at its end."""

    def at(v: float) -> str:
        return _percent(min(max(float(v), domain[0]), domain[1]), domain)

    low, high = entry["low"], entry["high"]
    ends = (at(low), at(high)) if low is not None and high is not None else (None, None)
    marked = None if mark is None else at(mark)
    return RangePlot(value=at(entry["value"]), low=ends[0], high=ends[1], mark=marked, hollow=hollow)


def range_axis(domain: tuple[float, float], marks: Sequence[float]) -> list[dict[str, Any]]:
    """The scale above a column of range plots."""
    anchors = {domain[1]: "end", domain[0]: "start"}
    return [
        {
            "text": f"{mark:g}",
            "x": _percent(mark, domain),
            "minor": mark not in domain,
            "anchor": anchors.get(mark, "middle"),
        }
        for mark in marks
    ]


def _percent(value: float, domain: tuple[float, float]) -> str:
    return f"{100 * (value - domain[0]) / (domain[1] - domain[0]):.2f}%"


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart; `style`, a class of the style sheet, sets color, dash and marker."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "first"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    """The interval of each point, if there is one."""


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    x_name: str,
    y_domain: tuple[float, float] | None = None,
    x_marks: Sequence[float] | None = None,
    logarithmic: bool = False,
) -> dict[str, Any]:
    """Lines over a shared scale, with a legend."""
    place = _Scale.of(series, y_domain, logarithmic)
    x_marks = x_marks if x_marks is not None else round_marks(*place.x, 5)
    return {
        "label": label,
        "x_name": x_name,
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "floor": _HEIGHT - _BOTTOM,
        "rows": [(f"{place.up(y):.1f}", _short(y)) for y in round_marks(*place.y, 5)],
        "columns": [(f"{place.across(x):.1f}", _short(x)) for x in x_marks],
        "lines": [_line(place, one) for one in series],
    }


@dataclass(frozen=True)
class _Scale:
    """From data to the chart's units."""

    x: tuple[float, float]
    y: tuple[float, float]
    logarithmic: bool

    @staticmethod
    def of(series: Sequence[Series], y: tuple[float, float] | None, logarithmic: bool) -> "_Scale":
        xs = [v for s in series for v in s.x]
        ys = [v for s in series for v in (*s.y, *s.low, *s.high)]
        y = y or _padded(min(ys), max(ys))
        return _Scale((min(xs), max(xs)) if max(xs) > min(xs) else _padded(min(xs), max(xs)), y, logarithmic)

    def across(self, x: float) -> float:
        low, high, x = (math.log(v) if self.logarithmic else v for v in (*self.x, x))
        inset = 24 if self.logarithmic else 4
        return _LEFT + inset + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT - 2 * inset)

    def up(self, y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (_HEIGHT - _TOP - _BOTTOM)


def round_marks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from low to high."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    # A step or an end that misses by rounding alone still counts.
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * i, 12) for i in range(first, last + 1)]


def _padded(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _line(place: _Scale, series: Series) -> dict[str, Any]:
    xs = [f"{place.across(x):.1f}" for x in series.x]
    points = [(x, f"{place.up(y):.1f}") for x, y in zip(xs, series.y, strict=True)]
    marked = series.style in ("first", "second")
    return {
        "name": series.name,
        "style": series.style,
        "marked": marked,
        "points": " ".join(f"{x},{y}" for x, y in points),
        "bars": [
            (x, place.up(low), place.up(high))
            for x, low, high in zip(xs, series.low, series.high, strict=False)
        ],
        "dots": points if marked and len(points) <= _DOTTED else [],
    }
