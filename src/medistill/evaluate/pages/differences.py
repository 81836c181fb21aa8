"""The comparison page's tables: differences and values, a plot in each row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medistill.evaluate.comparison import OF_NO_MODEL
from medistill.evaluate.pages.names import LOWER_IS_BETTER, NAMES, UNBOUNDED
from medistill.evaluate.statistics.interval import Entry
from medistill.html.chart import range_axis, range_plot
from medistill.html.markup import Html, tag
from medistill.html.words import in_words

Comparison = Mapping[str, Any]
Groups = Mapping[str, tuple[str | list[str], list[str]]]
"""Title of a group of rows -> its task, or several, and the figures of it."""
COMPARISON_STYLE = """
a { color: var(--accent); }
.plain { font-weight: 400; }
.verdict { font-size: 13px; }
.letter { font-weight: 620; }
.range .hollow { fill: var(--card); stroke: var(--accent); stroke-width: 2; }
.versus td.plot, .versus th.plot { width: 26%; min-width: 130px; }
.versus td.plot.wider, .versus th.plot.wider { width: 40%; }
.versus tr.inner > td { border-bottom: 0; }
.versus tbody tr:last-child > * { border-bottom: 1px solid var(--grid); }
@media (max-width: 640px) {
  .verdict { font-size: 11.5px; }
  .versus th, .versus td { padding-right: 6px; }
  .versus .plot, .versus .plot.wider { width: 26% !important; min-width: 84px !important; }
}
@media print {
  .versus table { font-size: 12px; }
  .versus .axis .minor { display: none; }
}
"""


def figure_name(name: str) -> str:
    """A figure as pages call it; one of a finding by the finding."""
    return NAMES.get(name, name.partition("/")[2] or name)


def signed(entry: Entry) -> tuple[str, str]:
    """A difference and its interval with their signs; a dash where there is none."""
    value, low, high = (entry[part] for part in ("value", "low", "high"))
    if value is None:
        return "-", "-"
    digits = 1 if max(abs(float(v)) for v in (value, low, high) if v is not None) >= 10 else 3

    def shown(number: object) -> str:
        return f"{float(str(number)):+.{digits}f}" if round(float(str(number)), 6) else "0"

    interval = "-" if low is None or high is None else f"{shown(low)} to {shown(high)}"
    return shown(value), interval


def verdict(task: str, name: str, entry: Entry) -> str:
    """What the interval says, in a sign and a word."""
    if entry["value"] is None:
        return f"no difference: {entry.get('reason', '')}"
    if name.startswith(OF_NO_MODEL):
        return "same for all"
    if not entry["excludes_zero"]:
        return "holds zero" if entry["low"] != entry["high"] else "the same"
    up = float(entry["value"]) > 0
    if " less " in task:
        return "▲\N{NO-BREAK SPACE}higher" if up else "▼\N{NO-BREAK SPACE}lower"
    return f"{'▲' if up else '▼'}\N{NO-BREAK SPACE}{'better' if up != (name in LOWER_IS_BETTER) else 'worse'}"


def differences_card(comparison: Comparison, groups: Groups, *, tested: bool = False) -> Html:
    """A row for each figure and model other than the first; `tested` with columns for p."""
    domain = _domain(comparison, groups)
    marks = (domain[0], domain[0] / 2, 0.0, domain[1] / 2, domain[1])
    columns = [
        tag("th", name, class_=class_, scope="col")
        for name, class_ in (
            (_less(comparison), "number"),
            ("95 % interval", "number wide"),
            *([("p", "number wide"), ("Holm", "number wide")] if tested else []),
            ("Zero", "verdict"),
            ("Images", "number wide"),
            ("Patients", "number wide"),
        )
    ]
    several = len(comparison["models"]) > 2
    head = tag(
        "tr",
        tag("th", "Figure", scope="col"),
        _model_head() if several else None,
        tag("th", range_axis(domain, marks), class_="plot", scope="col", aria_label="plot"),
        *columns,
    )
    bodies = [
        tag(
            "tbody",
            _title(title, 2 + several + len(columns)),
            [_difference_row(row, domain, tested) for row in _rows(comparison, *group)],
        )
        for title, group in groups.items()
    ]
    return tag("div", tag("table", tag("thead", head), bodies), class_="card versus")


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One difference: of which figure of which task, by which model."""

    shown: str
    label: str
    task: str
    name: str
    entry: Entry
    place: int
    """Among the rows of the figure, from 0."""
    of: int
    """How many rows the figure has."""

    @property
    def named(self) -> Html | None:
        return None if self.place else tag("th", self.shown, scope="row", rowspan=self.of)

    @property
    def class_(self) -> str | None:
        return "inner" if self.place < self.of - 1 else None


def _rows(comparison: Comparison, tasks: str | list[str], names: list[str]) -> Iterator[_Row]:
    several = isinstance(tasks, list)
    rivals = [label for label in comparison["models"] if label != comparison["baseline"]]
    for task in tasks if isinstance(tasks, list) else [tasks]:
        for name in names:
            shown = task.partition("/")[2] if several else figure_name(name)
            for place, label in enumerate(rivals):
                entry = comparison["tasks"][task][name]["differences"][label]
                yield _Row(
                    shown=shown,
                    label=label,
                    task=task,
                    name=name,
                    entry=entry,
                    place=place,
                    of=len(rivals),
                )


def _difference_row(row: _Row, domain: tuple[float, float], tested: bool) -> Html:
    entry, told = row.entry, verdict(row.task, row.name, row.entry)
    letter = tag("td", row.label, class_="letter") if row.of > 1 else None
    if entry["value"] is None:
        reason = tag("td", told, colspan=6 if tested else 4, class_="quiet")
        return tag("tr", row.named, letter, reason, _counts(entry), class_=row.class_)
    apart = bool(entry["excludes_zero"])
    value, interval = signed(entry)
    below = tag("span", interval, class_="under")
    return tag(
        "tr",
        row.named,
        letter,
        tag("td", _difference_plot(row.name, entry, domain, apart), class_="plot"),
        tag("td", value, below, class_="number value" if apart else "number plain"),
        tag("td", interval, class_="number quiet wide"),
        _p_cells(entry) if tested else None,
        tag("td", told, class_="verdict" if apart else "verdict quiet"),
        _counts(entry),
        class_=row.class_,
    )


def _difference_plot(name: str, entry: Entry, domain: tuple[float, float], apart: bool) -> Html | None:
    if name in UNBOUNDED:
        return None
    value, low, high = (None if entry[p] is None else float(str(entry[p])) for p in ("value", "low", "high"))
    return range_plot(value or 0.0, low, high, domain=domain, mark=0.0, hollow=not apart)


def _p_cells(entry: Entry) -> list[Html]:
    return [
        tag("td", _p_in_words(entry.get(key)), class_=class_)
        for key, class_ in (("p", "number wide"), ("p_holm", "number quiet wide"))
    ]


def _p_in_words(p: object) -> str:
    if p is None:
        return "-"
    return "< .001" if float(str(p)) < 0.001 else f"{float(str(p)):.3f}".lstrip("0") or "0"


def values_card(comparison: Comparison, groups: Groups) -> Html:
    """A row for each figure and model."""
    marks = (0.0, 0.25, 0.5, 0.75, 1.0)
    heads = (
        ("Value", "number"),
        ("95 % interval", "number wide"),
        ("Images", "number wide"),
        ("Patients", "number wide"),
    )
    head = tag(
        "tr",
        tag("th", "Figure", scope="col"),
        _model_head(),
        tag("th", range_axis((0.0, 1.0), marks), class_="plot wider", scope="col", aria_label="plot"),
        [tag("th", name, class_=class_, scope="col") for name, class_ in heads],
    )
    bodies = [
        tag("tbody", _title(title, 7), *(_value_rows(comparison, str(task), name) for name in names))
        for title, (task, names) in groups.items()
    ]
    return tag("div", tag("table", tag("thead", head), bodies), class_="card versus")


def _value_rows(comparison: Comparison, task: str, name: str) -> list[Html]:
    found: Mapping[str, Entry] = comparison["tasks"][task][name]["values"]
    first = found[comparison["baseline"]]["value"]
    mark = None if first is None else float(first)
    rows: list[Html] = []
    for place, (label, entry) in enumerate(found.items()):
        named = None if place else tag("th", figure_name(name), scope="row", rowspan=len(found))
        cells = _value_cells(name, entry, mark)
        inner = "inner" if place < len(found) - 1 else None
        rows.append(tag("tr", named, tag("td", label, class_="letter"), cells, _counts(entry), class_=inner))
    return rows


def _value_cells(name: str, entry: Entry, mark: float | None) -> list[Html]:
    if entry["value"] is None:
        return [tag("td", f"not defined: {entry.get('reason', '')}", colspan=3, class_="quiet")]
    value, interval = in_words(entry)
    return [
        tag("td", _value_plot(name, entry, mark), class_="plot wider"),
        tag("td", value, tag("span", interval, class_="under"), class_="number value"),
        tag("td", interval, class_="number quiet wide"),
    ]


def _value_plot(name: str, entry: Entry, mark: float | None) -> Html | None:
    if name in UNBOUNDED:
        return None
    value, low, high = (None if entry[p] is None else float(str(entry[p])) for p in ("value", "low", "high"))
    return range_plot(value or 0.0, low, high, domain=(0.0, 1.0), mark=mark)


def _less(comparison: Comparison) -> str:
    base, *rivals = comparison["models"]
    return f"{rivals[0]} less {base}" if len(rivals) == 1 else f"Less {base}"


def _model_head() -> Html:
    return tag("th", scope="col", aria_label="Model")


def _counts(entry: Entry) -> list[Html]:
    return [tag("td", f"{entry[key]:,}", class_="number quiet wide") for key in ("n_images", "n_patients")]


def _title(title: str, width: int) -> Html:
    return tag("tr", tag("th", title, colspan=width, scope="colgroup"), class_="group")


def _domain(comparison: Comparison, groups: Groups) -> tuple[float, float]:
    """As far to both sides as the widest interval of these rows that has a plot, to the next twentieth."""
    ends: list[float] = [0.05]
    for group in groups.values():
        for row in _rows(comparison, *group):
            if row.name not in UNBOUNDED:
                ends += [abs(float(v)) for v in _bounds(row.entry)]
    most = min(1.0, math.ceil(20 * max(ends) - 1e-9) / 20)
    return -most, most


def _bounds(entry: Entry) -> Sequence[float]:
    return [float(str(entry[part])) for part in ("low", "high") if entry[part] is not None]
