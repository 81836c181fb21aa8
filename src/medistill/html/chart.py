"""Charts as inline SVG, drawn with the page's own colors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medistill.html.markup import Html, joined, tag

_WIDTH, _HEIGHT = 380, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 10, 38


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


def range_plot(
    value: float,
    low: float | None,
    high: float | None,
    *,
    domain: tuple[float, float],
    mark: float | None,
    hollow: bool = False,
) -> Html:
    """A dot on its interval, as wide as its table cell.

    mark     where a dashed line stands: chance, or no difference
    hollow   draw a ring, for what the interval leaves open
    """

    def at(v: float) -> str:
        return f"{100 * (min(max(v, domain[0]), domain[1]) - domain[0]) / (domain[1] - domain[0]):.2f}%"

    parts = [tag("line", class_="track", x1="0", x2="100%", y1=11, y2=11)]
    if mark is not None:
        parts.append(tag("line", class_="mark", x1=at(mark), x2=at(mark), y1=1, y2=21))
    if low is not None and high is not None:
        parts.append(tag("line", class_="interval", x1=at(low), x2=at(high), y1=11, y2=11))
    parts.append(tag("circle", class_="dot hollow" if hollow else "dot", cx=at(value), cy=11, r=5))
    return tag("svg", parts, class_="range", aria_hidden="true", width="100%", height=22)


def range_axis(domain: tuple[float, float], marks: Sequence[float]) -> Html:
    """The scale above a column of range plots."""
    low, high = domain
    labels = [
        tag(
            "text",
            f"{mark:g}",
            x=f"{100 * (mark - low) / (high - low):.2f}%",
            y=12,
            class_=None if mark in domain else "minor",
            text_anchor="start" if mark == low else "end" if mark == high else "middle",
        )
        for mark in marks
    ]
    return tag("svg", labels, class_="axis", aria_hidden="true", width="100%", height=16)


def roc_plot(false: Sequence[float], true: Sequence[float], label: str) -> Html:
    """One ROC curve in a square, above its dashed diagonal."""
    points = " ".join(f"{100 * f:.1f},{100 - 100 * t:.1f}" for f, t in zip(false, true, strict=True))
    return tag(
        "svg",
        tag("rect", class_="frame", width=100, height=100),
        tag("line", class_="chance", x1=0, y1=100, x2=100, y2=0),
        tag("polygon", class_="area", points=f"0,100 {points} 100,100"),
        tag("polyline", class_="curve", points=points),
        class_="roc",
        viewBox="-1 -1 102 102",
        role="img",
        aria_label=label,
    )


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    x_name: str,
    y_domain: tuple[float, float] | None = None,
    x_marks: Sequence[float] | None = None,
    logarithmic: bool = False,
) -> Html:
    """Lines over a shared scale, with a legend that tells them apart by dash and marker."""
    place = _Scale.of(series, y_domain, logarithmic)
    x_marks = x_marks if x_marks is not None else round_marks(*place.x, 5)
    grid = [_row(place, y) for y in round_marks(*place.y, 5)] + [_column(place, x) for x in x_marks]
    title = tag("text", x_name, class_="name", x=_WIDTH - _RIGHT, y=_HEIGHT - 4, text_anchor="end")
    return tag(
        "figure",
        tag(
            "svg",
            grid,
            [_line(place, s) for s in series],
            title,
            class_="chart",
            viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
            role="img",
            aria_label=label,
        ),
        tag("figcaption", [_legend(s) for s in series if s.name], class_="legend"),
    )


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


def _row(place: _Scale, y: float) -> Html:
    at = f"{place.up(y):.1f}"
    return joined(
        tag("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at),
        tag("text", _short(y), x=_LEFT - 8, y=at, text_anchor="end", dominant_baseline="central"),
    )


def _column(place: _Scale, x: float) -> Html:
    at = f"{place.across(x):.1f}"
    floor = _HEIGHT - _BOTTOM
    return joined(
        tag("line", class_="grid", x1=at, x2=at, y1=floor, y2=floor + 4),
        tag("text", _short(x), x=at, y=floor + 17, text_anchor="middle"),
    )


def _line(place: _Scale, series: Series) -> Html:
    points = [
        (f"{place.across(x):.1f}", f"{place.up(y):.1f}") for x, y in zip(series.x, series.y, strict=True)
    ]
    parts = [tag("polyline", points=" ".join(",".join(point) for point in points))]
    for x, low, high in zip(series.x, series.low, series.high, strict=False):
        at = f"{place.across(x):.1f}"
        parts.append(tag("line", class_="bar", x1=at, x2=at, y1=place.up(low), y2=place.up(high)))
    if len(points) <= 30 and series.style in ("first", "second"):
        parts += [tag("circle", cx=x, cy=y, r=4) for x, y in points]
    return tag("g", parts, class_=f"series {series.style}")


def _legend(series: Series) -> Html:
    sample = tag("line", x1=0, x2=28, y1=6, y2=6)
    dot = tag("circle", cx=14, cy=6, r=4) if series.style in ("first", "second") else None
    drawn = tag(
        "svg", tag("g", sample, dot, class_=f"series {series.style}"), width=28, height=12, aria_hidden="true"
    )
    return tag("span", drawn, series.name)
