"""The page's probabilities and calls: calibration curves, and counts at the threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

from medistill.html.markup import Html, tag
from medistill.html.words import in_words

_STAGES = {"before": "Before fitting", "after": "After fitting on validation"}
_WIDTH, _HEIGHT = 330, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 8, 36
_COUNTS = 46
"""Height of the bars that count, below the curve."""
_MARKS = (0.0, 0.25, 0.5, 0.75, 1.0)
DECISION_STYLE = """
.reliability { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr));
  gap: 12px 28px; }
.reliability figcaption { font-size: 13px; font-weight: 620; padding: 0 0 6px 4px; }
.reliability svg { width: 100%; max-width: 430px; height: auto; }
.reliability .ideal { stroke: var(--chance); stroke-dasharray: 4 3; stroke-width: 1.5; }
.reliability .count { fill: var(--chance); opacity: 0.55; }
.reliability .floor { stroke: var(--line); stroke-width: 1; }
.card + .card { margin-top: 16px; }
.small { font-size: 12px; }
.calls thead th { white-space: normal; }
.scroll { overflow-x: auto; }
.scroll th, .scroll td { white-space: nowrap; }
details.bins { margin-top: 12px; }
details.bins summary { cursor: pointer; font-size: 13.5px; }
"""


def reliability_card(reliability: Mapping[str, Sequence[Mapping[str, Any]]]) -> Html:
    """A calibration curve for each stage, and its values in a table."""
    note = (
        "Each dot is a bin of probabilities a fifteenth wide, of all findings together: across its mean, up "
        "how many of its labels are present, on a 95 % interval over patients. On the dashed line what is "
        "said is what is found. The bars below count the labels of each bin."
    )
    return tag(
        "div",
        tag("p", note, class_="note"),
        tag("div", [_curve(stage, bins) for stage, bins in reliability.items()], class_="reliability"),
        [_table(stage, bins) for stage, bins in reliability.items()],
        class_="card",
    )


def _curve(stage: str, bins: Sequence[Mapping[str, Any]]) -> Html:
    points = [(_across(one["probability"]), _up(one["present"]["value"])) for one in bins]
    labels = sum(one["present"]["n_labels"] for one in bins)
    line = tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))
    intervals = [
        tag(
            "line",
            class_="bar",
            x1=f"{x:.1f}",
            x2=f"{x:.1f}",
            y1=f"{_up(one['present']['low']):.1f}",
            y2=f"{_up(one['present']['high']):.1f}",
        )
        for (x, _), one in zip(points, bins, strict=True)
    ]
    dots = [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4) for x, y in points]
    drawing = tag(
        "svg",
        _frame(),
        _bars(bins),
        tag("g", line, intervals, dots, class_="series first"),
        class_="chart",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"Calibration curve, {_STAGES[stage].lower()}: {len(bins)} bins, whose values are below",
    )
    return tag("figure", tag("figcaption", f"{_STAGES[stage]} · {labels:,} labels"), drawing)


def _frame() -> Html:
    """Grid, scales, and the diagonal."""
    rows = [
        tag("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{_up(v):.1f}", y2=f"{_up(v):.1f}")
        for v in _MARKS
    ]
    left = [
        tag("text", f"{v:g}", x=_LEFT - 7, y=f"{_up(v):.1f}", text_anchor="end", dominant_baseline="central")
        for v in _MARKS
    ]
    below = [
        tag("text", f"{v:g}", x=f"{_across(v):.1f}", y=_HEIGHT - 20, text_anchor="middle") for v in _MARKS
    ]
    ideal = tag(
        "line", class_="ideal", x1=_across(0.0), x2=_across(1.0), y1=f"{_up(0.0):.1f}", y2=f"{_up(1.0):.1f}"
    )
    name = tag("text", "probability said", x=_WIDTH - _RIGHT, y=_HEIGHT - 4, text_anchor="end")
    return tag("g", rows, left, below, ideal, name)


def _bars(bins: Sequence[Mapping[str, Any]]) -> Html:
    floor = _HEIGHT - _BOTTOM
    most = max(one["present"]["n_labels"] for one in bins)
    bars: list[Html] = []
    for one in bins:
        left, right = _across(one["from"]) + 1, _across(one["to"]) - 1
        height = max(1.0, (_COUNTS - 8) * one["present"]["n_labels"] / most)
        bars.append(
            tag(
                "rect",
                class_="count",
                x=f"{left:.1f}",
                y=f"{floor - height:.1f}",
                width=f"{right - left:.1f}",
                height=f"{height:.1f}",
            )
        )
    line = tag("line", class_="floor", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=floor, y2=floor)
    return tag("g", bars, line)


def _across(x: float) -> float:
    return _LEFT + x * (_WIDTH - _LEFT - _RIGHT)


def _up(y: float) -> float:
    floor = _HEIGHT - _BOTTOM - _COUNTS
    return floor - y * (floor - _TOP)


def _table(stage: str, bins: Sequence[Mapping[str, Any]]) -> Html:
    head = [
        tag("th", "Probability", scope="col"),
        *(
            tag("th", name, scope="col", class_="number")
            for name in ("Mean said", "Present", "95 % interval", "Labels", "Images", "Patients")
        ),
    ]
    rows: list[Html] = []
    for one in bins:
        entry = one["present"]
        value, interval = in_words(entry)
        counts = [f"{entry[name]:,}" for name in ("n_labels", "n_images", "n_patients")]
        cells = [f"{one['probability']:.3f}", value, interval, *counts]
        rows.append(
            tag(
                "tr",
                tag("th", f"{one['from']:.3f} to {one['to']:.3f}", scope="row"),
                [tag("td", cell, class_="number") for cell in cells],
            )
        )
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows))
    return tag(
        "details",
        tag("summary", f"{_STAGES[stage]}: the values of the bins"),
        tag("div", table, class_="scroll"),
        class_="bins",
    )


def calls_card(calls: Mapping[str, Mapping[str, Any]]) -> Html:
    """What was called present and absent at each finding's threshold."""
    heads = ("Threshold", "Found", "Missed", "False alarms", "Rightly absent", "Sensitivity", "Specificity")
    head = [
        tag("th", "Finding", scope="col"),
        *(tag("th", name, scope="col", class_="number") for name in heads),
    ]
    rows = [tag("tr", tag("th", name, scope="row"), _cells(told)) for name, told in calls.items()]
    note = (
        "Called present from the threshold on. Found and missed are cases that show the finding, false "
        "alarms and rightly absent those that do not; uncertain and unstated ones are not counted."
    )
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows))
    inside = tag("div", table, class_="scroll calls")
    return tag("div", tag("p", note, class_="note"), inside, class_="card")


def _cells(told: Mapping[str, Any]) -> list[Html]:
    counts = [told[name] for name in ("true_positive", "false_negative", "false_positive", "true_negative")]
    plain = [f"{told['threshold']:.3f}", *(f"{count:,}" for count in counts)]
    cells = [tag("td", text, class_="number") for text in plain]
    for rate in ("sensitivity", "specificity"):
        value, interval = in_words(told[rate])
        cells.append(
            tag("td", value, tag("br"), tag("span", interval, class_="quiet small"), class_="number")
        )
    return cells
