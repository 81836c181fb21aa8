"""The page's figures: all of them, by finding, by group, and as ROC curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.pages.names import NAMES, TASKS, UNBOUNDED, in_order
from medistill.evaluate.statistics.interval import Entry, Metrics
from medistill.html.chart import range_axis, range_plot

_UNIT = (0.0, 1.0)
UNIT_AXIS = range_axis(_UNIT, (0.0, 0.25, 0.5, 0.75, 1.0))
_SLICE = "zero_shot/"
_BLIND = {
    "i2t_r@10": "chance_r@10",
    **dict.fromkeys(("i2t_r@10_unique", "mean_r@10_unique"), "chance_r@10"),
    "pointing_game": "pointing_game_chance",
}
"""Figures whose chance is another figure."""


def figure_groups(metrics: Mapping[str, Metrics]) -> list[dict[str, Any]]:
    """Every figure but those of single findings, by task."""
    whole = {task: entries for task, entries in metrics.items() if not task.startswith(_SLICE)}
    return [
        {
            "title": TASKS.get(task, task),
            "rows": [
                _row(name, whole[task][name], _chance(name, whole[task]))
                for name in in_order(whole[task], list(NAMES))
                if "/" not in name
            ],
        }
        for task in in_order(whole, list(TASKS))
    ]


def slices(metrics: Mapping[str, Metrics]) -> list[dict[str, Any]]:
    """Zero-shot AUROC by view, sex, age and source, and how groups differ from the largest one."""
    rows: list[dict[str, Any]] = []
    for task, entries in metrics.items():
        if task.startswith(_SLICE):
            mark, domain = (0.0, (-0.5, 0.5)) if " less " in task else (0.5, _UNIT)
            rows.append(_row(task.removeprefix(_SLICE), entries["auroc_macro"], mark, domain))
    return rows


def findings(evaluation: Evaluation) -> dict[str, Any] | None:
    """AUROC of each finding with its interval, best first."""
    entries = evaluation.metrics.get("zero_shot", {})
    by_finding = {n.partition("/")[2]: e for n, e in entries.items() if n.startswith("auroc/")}
    if not by_finding:
        return None
    domain = _domain(by_finding)
    marks = [round(domain[0] + 0.1 * i, 1) for i in range(round((domain[1] - domain[0]) * 10) + 1)]
    marks = marks if len(marks) <= 7 else marks[::2] if len(marks) % 2 else [domain[0], 0.5, 1.0]
    order = sorted(by_finding, key=lambda name: (-float(by_finding[name]["value"] or 0), name))
    rows: list[dict[str, Any]] = []
    for name in order:
        about = evaluation.protocol["findings"][name]
        counts = about["positive"], about["negative"]
        rows.append({**_row(name, by_finding[name], 0.5, domain), "name": name, "counts": counts})
    return {"axis": range_axis(domain, marks), "rows": rows}


def roc_curves(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A small ROC plot a finding, in a square of 100."""
    return [
        {
            "name": name,
            "entry": evaluation.metrics["zero_shot"][f"auroc/{name}"],
            "points": _points(false.tolist(), true.tolist()),
        }
        for name, (false, true) in evaluation.curves.items()
    ]


def _points(false: Sequence[float], true: Sequence[float]) -> str:
    return " ".join(f"{100 * f:.1f},{100 - 100 * t:.1f}" for f, t in zip(false, true, strict=True))


def _row(name: str, entry: Entry, mark: float | None, domain: tuple[float, float] = _UNIT) -> dict[str, Any]:
    plotted = entry["value"] is not None and name not in UNBOUNDED
    return {
        "name": NAMES.get(name, name),
        "entry": entry,
        "plot": range_plot(entry, domain=domain, mark=mark) if plotted else None,
        "counts": (entry["n_images"], entry["n_patients"]),
    }


def _chance(name: str, entries: Metrics) -> float | None:
    if name.startswith(("auroc", "fine_tune_auroc")):
        return 0.5
    chance = entries.get(_BLIND.get(name, ""), {}).get("value")
    return float(chance) if chance is not None else None


def _domain(entries: Mapping[str, Entry]) -> tuple[float, float]:
    """From the tenth below the lowest interval, and at most .4, so that chance is always in sight."""
    lows = [float(e["low"]) for e in entries.values() if e["low"] is not None]
    return max(0.0, math.floor(10 * min([0.5, *lows]) - 1e-9) / 10), 1.0
