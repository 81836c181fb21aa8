"""The comparison page's tables: differences and values, a plot in each row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medistill.evaluate.chart import range_axis, range_plot
from medistill.evaluate.figure_names import LOWER_IS_BETTER, NAMES, OF_NO_MODEL, UNBOUNDED
from medistill.evaluate.interval import Entry
from medistill.evaluate.markup import Html, tag
from medistill.evaluate.page_figures import in_words

Comparison = Mapping[str, Any]
Groups = Mapping[str, tuple[str | list[str], list[str]]]
"""Title of a group of rows -> its task, or several, and the figures of it."""

COMPARISON_STYLE = """
.scroll { overflow-x: auto; }
.plain { font-weight: 400; }
.verdict { white-space: nowrap; font-size: 13px; }
.letter { font-weight: 620; }
.range .hollow { fill: var(--card); stroke: var(--accent); stroke-width: 2; }
.versus td.plot, .versus th.plot { width: 30%; }
.versus td.plot.wider, .versus th.plot.wider { width: 42%; }
tr.first > * { border-top: 1px solid var(--grid); }
@media (max-width: 640px) {
  .verdict { white-space: normal; font-size: 11.5px; }
  .versus td.plot, .versus th.plot { width: 28%; }
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
        return f"{float(str(number)) + 0.0:+.{digits}f}" if round(float(str(number)), digits) else "0"

    interval = "-" if low is None or high is None else f"{shown(low)} to {shown(high)}"
    return shown(value), interval


def verdict(task: str, name: str, entry: Entry) -> str:
    """What the interval says, in a sign and a word."""
    if entry["value"] is None:
        return f"no difference: {entry.get('reason', '')}"
    if name.startswith(OF_NO_MODEL):
        return "the same for any model"
    if not entry["excludes_zero"]:
        return "holds zero"
    up = float(entry["value"]) > 0
    if " less " in task:
        return "▲ higher" if up else "▼ lower"
    return f"{'▲' if up else '▼'} {'better' if up != (name in LOWER_IS_BETTER) else 'worse'}"


def differences_card(comparison: Comparison, groups: Groups, *, tested: bool = False) -> Html:
    """A row for each figure and model other than the first; `tested` with columns for p."""
    base = comparison["baseline"]
    domain = _domain(comparison, groups)
    marks = (domain[0], domain[0] / 2, 0.0, domain[1] / 2, domain[1])
    columns = [
        tag("th", name, class_=class_, scope="col")
        for name, class_ in (
            (f"Less {base}", "number"),
            ("95 % interval", "number wide"),
            *([("p", "number"), ("Holm", "number wide")] if tested else []),
            ("Zero", "verdict"),
            ("Images", "number wide"),
            ("Patients", "number wide"),
        )
    ]
    head = tag(
        "tr",
        tag("th", "Figure", scope="col"),
        tag("th", "Model", scope="col"),
        tag("th", range_axis(domain, marks), class_="plot", scope="col", aria_label="plot"),
        *columns,
    )
    bodies = [
        tag(
            "tbody",
            _title(title, 3 + len(columns)),
            [
                _difference_row(shown, label, task, name, entry, domain, tested, span)
                for shown, label, task, name, entry, span in _rows(comparison, *group)
            ],
        )
        for title, group in groups.items()
    ]
    return tag("div", tag("table", tag("thead", head), bodies), class_="card versus")


def _rows(
    comparison: Comparison, tasks: str | list[str], names: list[str]
) -> Iterator[tuple[str, str, str, str, Entry, int]]:
    """What each row is called, its model, task, figure and difference, and how many rows share the name."""
    several = isinstance(tasks, list)
    rivals = [label for label in comparison["models"] if label != comparison["baseline"]]
    for task in tasks if isinstance(tasks, list) else [tasks]:
        for name in names:
            shown = task.partition("/")[2] if several else figure_name(name)
            for place, label in enumerate(rivals):
                entry = comparison["tasks"][task][name]["differences"][label]
                yield shown, label, task, name, entry, 0 if place else len(rivals)


def _difference_row(
    shown: str,
    label: str,
    task: str,
    name: str,
    entry: Entry,
    domain: tuple[float, float],
    tested: bool,
    span: int,
) -> Html:
    cells = [tag("th", shown, scope="row", rowspan=span)] if span else []
    cells.append(tag("td", label, class_="letter"))
    counts = _counts(entry)
    if entry["value"] is None:
        width = 6 if tested else 4
        return tag("tr", cells, tag("td", verdict(task, name, entry), colspan=width, class_="quiet"), counts)
    apart = bool(entry["excludes_zero"])
    value, interval = signed(entry)
    below = tag("span", interval, class_="under")
    return tag(
        "tr",
        cells,
        tag("td", _difference_plot(name, entry, domain, apart), class_="plot"),
        tag("td", value, below, class_="number value" if apart else "number plain"),
        tag("td", interval, class_="number quiet wide"),
        _p_cells(entry) if tested else None,
        tag("td", verdict(task, name, entry), class_="verdict" if apart else "verdict quiet"),
        counts,
    )


def _difference_plot(name: str, entry: Entry, domain: tuple[float, float], apart: bool) -> Html | None:
    if name in UNBOUNDED:
        return None
    value, low, high = (None if entry[p] is None else float(str(entry[p])) for p in ("value", "low", "high"))
    return range_plot(value or 0.0, low, high, domain=domain, mark=0.0, hollow=not apart)


def _p_cells(entry: Entry) -> list[Html]:
    return [
        tag("td", _p_in_words(entry.get(key)), class_=class_)
        for key, class_ in (("p", "number"), ("p_holm", "number quiet wide"))
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
        tag("th", "Model", scope="col"),
        tag("th", range_axis((0.0, 1.0), marks), class_="plot wider", scope="col", aria_label="plot"),
        [tag("th", name, class_=class_, scope="col") for name, class_ in heads],
    )
    bodies = [
        tag("tbody", _title(title, 7), [_value_rows(comparison, str(task), name) for name in names])
        for title, (task, names) in groups.items()
    ]
    return tag("div", tag("table", tag("thead", head), bodies), class_="card versus")


def _value_rows(comparison: Comparison, task: str, name: str) -> list[Html]:
    found: Mapping[str, Entry] = comparison["tasks"][task][name]["values"]
    first = found.get(comparison["baseline"])
    mark = None if first is None or first["value"] is None else float(first["value"])
    rows: list[Html] = []
    for place, (label, entry) in enumerate(found.items()):
        name_cell = tag("th", figure_name(name), scope="row", rowspan=len(found)) if not place else None
        counts = _counts(entry)
        if entry["value"] is None:
            reason = tag("td", f"not defined: {entry.get('reason', '')}", colspan=3, class_="quiet")
            rows.append(tag("tr", name_cell, tag("td", label, class_="letter"), reason, counts))
            continue
        value, interval = in_words(entry)
        rows.append(
            tag(
                "tr",
                name_cell,
                tag("td", label, class_="letter"),
                tag("td", _value_plot(name, entry, mark), class_="plot wider"),
                tag("td", value, tag("span", interval, class_="under"), class_="number value"),
                tag("td", interval, class_="number quiet wide"),
                counts,
            )
        )
    return rows


def _value_plot(name: str, entry: Entry, mark: float | None) -> Html | None:
    if name in UNBOUNDED:
        return None
    value, low, high = (None if entry[p] is None else float(str(entry[p])) for p in ("value", "low", "high"))
    return range_plot(value or 0.0, low, high, domain=(0.0, 1.0), mark=mark)


def _counts(entry: Entry) -> list[Html]:
    return [tag("td", f"{entry[key]:,}", class_="number quiet wide") for key in ("n_images", "n_patients")]


def _title(title: str, width: int) -> Html:
    return tag("tr", tag("th", title, colspan=width, scope="colgroup"), class_="group")


def _domain(comparison: Comparison, groups: Groups) -> tuple[float, float]:
    """As far to both sides as the widest interval of these rows that has a plot, to the next tenth."""
    ends: list[float] = [0.05]
    for group in groups.values():
        for _, _, _, name, entry, _ in _rows(comparison, *group):
            if name not in UNBOUNDED:
                ends += [abs(float(v)) for v in _bounds(entry)]
    most = min(1.0, math.ceil(10 * max(ends) - 1e-9) / 10)
    return -most, most


def _bounds(entry: Entry) -> Sequence[float]:
    return [float(str(entry[part])) for part in ("low", "high") if entry[part] is not None]
