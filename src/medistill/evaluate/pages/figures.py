"""The page's figures: all of them, by finding, and as ROC curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.pages.names import NAMES, TASKS, UNBOUNDED, in_order
from medistill.evaluate.statistics.interval import Entry, Metrics
from medistill.html.chart import range_axis, range_plot, roc_plot
from medistill.html.markup import Html, joined, section, tag
from medistill.html.words import counts, in_words

_UNIT = (0.0, 1.0)
_SLICE = "zero_shot/"


def figures_section(metrics: Mapping[str, Metrics]) -> Html:
    """Every figure but those of single findings, with a forest plot."""
    whole = {task: entries for task, entries in metrics.items() if not task.startswith(_SLICE)}
    groups = [_group(task, whole[task]) for task in in_order(whole, list(TASKS))]
    head = _head("Figure", _UNIT, (0.0, 0.25, 0.5, 0.75, 1.0))
    return section(
        "figures",
        "Figures",
        tag(
            "p", "A dot on its 95 % interval; the dashed mark is chance where chance is known.", class_="note"
        ),
        tag("div", tag("table", tag("thead", head), groups), class_="card"),
    )


def _head(what: str, domain: tuple[float, float], marks: Sequence[float]) -> Html:
    return tag(
        "tr",
        tag("th", what, scope="col"),
        tag("th", range_axis(domain, marks), class_="plot", scope="col", aria_label="plot"),
        tag("th", "Value", class_="number", scope="col"),
        tag("th", "95 % interval", class_="number wide", scope="col"),
        tag("th", "Images", class_="number wide", scope="col"),
        tag("th", "Patients", class_="number wide", scope="col"),
    )


def slices_section(metrics: Mapping[str, Metrics]) -> Html | None:
    """Zero-shot AUROC by view, sex, age and source, and how groups differ from the largest one."""
    slices = {task.removeprefix(_SLICE): e for task, e in metrics.items() if task.startswith(_SLICE)}
    if not slices:
        return None
    rows: list[Html] = []
    for name, entries in slices.items():
        entry, domain, mark = entries["auroc_macro"], _UNIT, 0.5
        if " less " in name:
            domain, mark = (-0.5, 0.5), 0.0
        rows.append(_figure_row(name, entry, mark, domain))
    head = _head("Group", _UNIT, (0.0, 0.25, 0.5, 0.75, 1.0))
    note = (
        "Zero-shot AUROC, macro over the findings that every group of a kind has and lacks. Differences "
        "(less) are from the largest group, drawn from -0.5 to 0.5 with the mark at 0; their intervals "
        "are paired where a patient is in both."
    )
    return section(
        "groups",
        "By group",
        tag("p", note, class_="note"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="card"),
    )


def _group(task: str, entries: Metrics) -> Html:
    title = tag("tr", tag("th", TASKS.get(task, task), colspan=6, scope="colgroup"), class_="group")
    names = [name for name in in_order(entries, list(NAMES)) if "/" not in name]
    return tag("tbody", title, [_figure_row(name, entries[name], _chance(name, entries)) for name in names])


def _figure_row(name: str, entry: Entry, chance: float | None, domain: tuple[float, float] = _UNIT) -> Html:
    shown = tag("th", NAMES.get(name, name), scope="row")
    if entry["value"] is None:
        reason = tag("td", f"not defined: {entry.get('reason', '')}", colspan=3, class_="quiet")
        return tag("tr", shown, reason, counts(entry))
    plot = None if name in UNBOUNDED else _plot(entry, domain, chance)
    value, interval = in_words(entry)
    return tag(
        "tr",
        shown,
        tag("td", plot, class_="plot"),
        tag("td", value, tag("span", interval, class_="under"), class_="number value"),
        tag("td", interval, class_="number quiet wide"),
        counts(entry),
    )


def _chance(name: str, entries: Metrics) -> float | None:
    if name.startswith(("auroc", "fine_tune_auroc")):
        return 0.5
    blind = {"i2t_r@10": "chance_r@10", "i2t_r@10_unique": "chance_r@10"}
    blind |= {"pointing_game": "pointing_game_chance"}
    chance = entries.get(blind.get(name, ""), {}).get("value")
    return float(chance) if chance is not None else None


def findings_section(evaluation: Evaluation) -> Html | None:
    """AUROC of each finding with its interval, best first."""
    entries = evaluation.metrics.get("zero_shot", {})
    findings = {n.partition("/")[2]: e for n, e in entries.items() if n.startswith("auroc/")}
    if not findings:
        return None
    domain = _domain(findings)
    marks = [round(domain[0] + 0.1 * i, 1) for i in range(round((domain[1] - domain[0]) * 10) + 1)]
    marks = marks if len(marks) <= 7 else marks[::2] if len(marks) % 2 else [domain[0], 0.5, 1.0]
    head = tag(
        "tr",
        tag("th", "Finding", scope="col"),
        tag("th", range_axis(domain, marks), class_="plot", scope="col", aria_label="plot"),
        tag("th", "AUROC", class_="number", scope="col"),
        tag("th", "95 % interval", class_="number wide", scope="col"),
        tag("th", "Present", class_="number wide", scope="col"),
        tag("th", "Absent", class_="number wide", scope="col"),
    )
    order = sorted(findings, key=lambda name: (-float(findings[name]["value"] or 0), name))
    rows = [
        _finding_row(name, findings[name], evaluation.protocol["findings"][name], domain) for name in order
    ]
    note = "Zero-shot AUROC from the prompts listed below, best first; the dashed mark is chance."
    return section(
        "findings",
        "By finding",
        tag("p", note, class_="note"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="card"),
    )


def _finding_row(name: str, entry: Entry, about: Mapping[str, Any], domain: tuple[float, float]) -> Html:
    shown = tag("th", name, scope="row")
    counts = joined(
        [tag("td", f"{about[side]:,}", class_="number quiet wide") for side in ("positive", "negative")]
    )
    if entry["value"] is None:
        reason = tag("td", f"not defined: {entry.get('reason', '')}", colspan=3, class_="quiet")
        return tag("tr", shown, reason, counts)
    value, interval = in_words(entry)
    return tag(
        "tr",
        shown,
        tag("td", _plot(entry, domain, 0.5), class_="plot"),
        tag("td", value, tag("span", interval, class_="under"), class_="number value"),
        tag("td", interval, class_="number quiet wide"),
        counts,
    )


def curves_section(evaluation: Evaluation) -> Html | None:
    """A small ROC plot a finding."""
    if not evaluation.curves:
        return None
    entries = evaluation.metrics["zero_shot"]
    plots: list[Html] = []
    for name, (false, true) in evaluation.curves.items():
        value, interval = in_words(entries[f"auroc/{name}"])
        label = f"ROC curve of {name}: AUROC {value}, 95 % interval {interval}"
        caption = tag("figcaption", name, tag("br"), tag("span", value, class_="value"))
        plots.append(tag("figure", roc_plot(false.tolist(), true.tolist(), label), caption))
    note = "Across: share of the absent called present. Up: share of the present found. Dashed: chance."
    return section("curves", "ROC curves", tag("p", note, class_="note"), tag("div", plots, class_="rocs"))


def _plot(entry: Entry, domain: tuple[float, float], mark: float | None) -> Html:
    value, low, high = (None if entry[p] is None else float(str(entry[p])) for p in ("value", "low", "high"))
    return range_plot(value or 0.0, low, high, domain=domain, mark=mark)


def _domain(entries: Mapping[str, Entry]) -> tuple[float, float]:
    """From the tenth below the lowest interval, and at most .4, so that chance is always in sight."""
    lows = [float(e["low"]) for e in entries.values() if e["low"] is not None]
    return max(0.0, math.floor(10 * min([0.5, *lows]) - 1e-9) / 10), 1.0
