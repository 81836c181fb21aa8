"""The comparison page's rows: differences and values, each with where its plot lies."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medistill.evaluate.comparison import OF_NO_MODEL
from medistill.evaluate.pages.names import LOWER_IS_BETTER, NAMES, UNBOUNDED
from medistill.evaluate.statistics.interval import Entry
from medistill.html.chart import range_axis, range_plot
from medistill.html.words import NOTHING

Comparison = Mapping[str, Any]
Groups = Mapping[str, tuple[str | list[str], list[str]]]
"""Title of a group of rows -> its task, or several, and the figures of it."""


def figure_name(name: str) -> str:
    """A figure as pages call it; one of a finding by the finding."""
    return NAMES.get(name, name.partition("/")[2] or name)


def signed(entry: Entry) -> tuple[str, str]:
    """A difference and its interval with their signs; a dash where there is none."""
    value, low, high = (entry[part] for part in ("value", "low", "high"))
    if value is None:
        return NOTHING, NOTHING
    digits = 1 if max(abs(float(v)) for v in (value, low, high) if v is not None) >= 10 else 3

    def shown(number: object) -> str:
        return f"{float(str(number)):+.{digits}f}" if round(float(str(number)), 6) else "0"

    interval = NOTHING if low is None or high is None else f"{shown(low)} to {shown(high)}"
    return shown(value), interval


def verdict(task: str, name: str, entry: Entry) -> str:
    """What the interval says, in a sign and a word."""
    if entry["value"] is None:
        return f"no difference: {entry.get('reason', '')}"
    if name.startswith(OF_NO_MODEL):
        return "same for all"
    if entry["low"] is None:
        return f"no interval: {entry.get('reason', '')}"
    if not entry["excludes_zero"]:
        return "holds zero" if entry["low"] != entry["high"] else "the same"
    up = float(entry["value"]) > 0
    if " less " in task:
        return "▲\N{NO-BREAK SPACE}higher" if up else "▼\N{NO-BREAK SPACE}lower"
    return f"{'▲' if up else '▼'}\N{NO-BREAK SPACE}{'better' if up != (name in LOWER_IS_BETTER) else 'worse'}"


def difference_table(comparison: Comparison, groups: Groups) -> dict[str, Any]:
    """A row for each figure and model other than the first, and their shared scale."""
    rows = {title: list(_differences(comparison, *group)) for title, group in groups.items()}
    most = _most(row for of_group in rows.values() for row in of_group)
    return {
        "axis": range_axis((-most, most), (-most, -most / 2, 0.0, most / 2, most)),
        "groups": [
            {"title": title, "rows": [_difference_row(row, (-most, most)) for row in of_group]}
            for title, of_group in rows.items()
        ],
    }


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """Of one figure of one task, by one model."""

    shown: str
    task: str
    name: str
    label: str
    place: int
    """Among the models, from 0."""
    of: int
    """How many models differ from the first."""
    entry: Entry


def _differences(comparison: Comparison, tasks: str | list[str], names: list[str]) -> Iterator[_Difference]:
    several = isinstance(tasks, list)
    for task in tasks if isinstance(tasks, list) else [tasks]:
        for name in names:
            shown = task.partition("/")[2] if several else figure_name(name)
            by_label: Mapping[str, Entry] = comparison["tasks"][task][name]["differences"]
            labels = [label for label in comparison["models"] if label != comparison["baseline"]]
            for place, label in enumerate(labels):
                yield _Difference(
                    shown=shown,
                    task=task,
                    name=name,
                    label=label,
                    place=place,
                    of=len(labels),
                    entry=by_label[label],
                )


def _most(rows: Iterator[_Difference]) -> float:
    """As far as the widest interval of these rows that has a plot, to the next twentieth."""
    bounds = [
        abs(float(bound))
        for row in rows
        if row.name not in UNBOUNDED
        for bound in (row.entry["low"], row.entry["high"])
        if bound is not None
    ]
    return min(1.0, math.ceil(20 * max([0.05, *bounds]) - 1e-9) / 20)


def _difference_row(row: _Difference, domain: tuple[float, float]) -> dict[str, Any]:
    entry = row.entry
    apart = entry["value"] is not None and bool(entry["excludes_zero"])
    value, interval = signed(entry)
    plotted = entry["value"] is not None and row.name not in UNBOUNDED
    return {
        **_place(row.shown, row.label, row.place, row.of),
        "entry": entry,
        "plot": range_plot(entry, domain=domain, mark=0.0, hollow=not apart) if plotted else None,
        "value": value,
        "interval": interval,
        "p": _p_in_words(entry.get("p")),
        "p_holm": _p_in_words(entry.get("p_holm")),
        "apart": apart,
        "verdict": verdict(row.task, row.name, entry),
    }


def _place(name: str, label: str, place: int, of: int) -> dict[str, Any]:
    """A figure's name stands before the first of its rows and spans them all."""
    return {"name": None if place else name, "span": of, "label": label, "inner": place < of - 1}


def _p_in_words(p: object) -> str:
    if p is None:
        return NOTHING
    return "< .001" if float(str(p)) < 0.001 else f"{float(str(p)):.3f}".lstrip("0") or "0"


def value_rows(comparison: Comparison, task: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each figure and model."""
    rows: list[dict[str, Any]] = []
    for name in names:
        values: Mapping[str, Entry] = comparison["tasks"][task][name]["values"]
        first = values[comparison["baseline"]]["value"]
        mark = None if first is None else float(first)
        for place, (label, entry) in enumerate(values.items()):
            plotted = entry["value"] is not None and name not in UNBOUNDED
            plot = range_plot(entry, domain=(0.0, 1.0), mark=mark) if plotted else None
            about = _place(figure_name(name), label, place, len(values))
            rows.append({**about, "entry": entry, "plot": plot})
    return rows
