"""The page of several models on the same cases: differences first, then each model's figures."""

from collections.abc import Mapping
from typing import Any

from medistill.evaluate.pages.differences import (
    Comparison,
    Groups,
    difference_table,
    figure_name,
    signed,
    value_rows,
    verdict,
)
from medistill.evaluate.pages.figures import UNIT_AXIS
from medistill.evaluate.pages.names import NAMES, TASKS, in_order
from medistill.html import templates

_SLICE = "zero_shot/"
_IN_A_TILE = {"i2t_r@10_unique": "Recall@10, unique reports"}
"""Names that say enough where they do not stand below another figure."""


def comparison_page(comparison: Comparison) -> str:
    """One page from what comparison.json holds; no image, no report and no path is on it."""
    of, base = comparison["of"], comparison["baseline"]
    rivals = [label for label in comparison["models"] if label != base]
    whole = {
        task: [name for name in in_order(entries, list(NAMES)) if "/" not in name]
        for task, entries in _tasks(comparison).items()
    }
    return templates.page(
        "medistill.evaluate.pages",
        "comparison.html",
        base=base,
        rivals=rivals,
        of=of,
        models=comparison["models"],
        counts=comparison["differences"],
        by_chance=comparison["differences"]["with_interval"] / 20,
        tiles=[_tile(comparison, task, name, to) for task, name in comparison["headlines"] for to in rivals],
        differences=difference_table(comparison, {_task(task): (task, whole[task]) for task in whole}),
        findings=_table(comparison, _findings(comparison)),
        slices=_table(comparison, _slices(comparison)),
        unit_axis=UNIT_AXIS,
        figures=[{"title": _task(task), "rows": value_rows(comparison, task, whole[task])} for task in whole],
        cases={f"Cases, {name}": about for name, about in of.get("protocols", {}).items()} or {"Cases": of},
        prompts=_prompts(of),
    )


def _task(task: str) -> str:
    return TASKS.get(task, task.removeprefix("protocol:"))


def _tile(comparison: Comparison, task: str, name: str, rival: str) -> dict[str, str]:
    entry = comparison["tasks"][task][name]["differences"][rival]
    value, interval = signed(entry)
    title = f"{_task(task).partition(':')[0]}: {_IN_A_TILE.get(name, figure_name(name))}"
    return {
        "name": f"{title}, {rival} less {comparison['baseline']}",
        "value": value,
        "interval": interval,
        "verdict": verdict(task, name, entry),
    }


def _tasks(comparison: Comparison) -> dict[str, Mapping[str, Any]]:
    """Those of all cases, in the page's order."""
    tasks: Mapping[str, Mapping[str, Any]] = comparison["tasks"]
    whole = [task for task in tasks if not task.startswith(_SLICE)]
    whole.sort(key=lambda task: list(TASKS).index(task) if task in TASKS else len(TASKS))
    return {task: tasks[task] for task in whole}


def _table(comparison: Comparison, groups: Groups) -> dict[str, Any] | None:
    return difference_table(comparison, groups) if groups else None


def _findings(comparison: Comparison) -> Groups:
    """AUROC of each finding and recall of each class."""
    return {
        _task(task): (task, names)
        for task, entries in _tasks(comparison).items()
        if (names := [name for name in entries if name.startswith(("auroc/", "recall/"))])
    }


def _slices(comparison: Comparison) -> Groups:
    """Differences within each group, and whether a gap between groups is another model's too."""
    tasks = [task for task in comparison["tasks"] if task.startswith(_SLICE)]
    kinds = {
        "Within a group": [task for task in tasks if " less " not in task],
        "Gaps between groups": [task for task in tasks if " less " in task],
    }
    return {title: (of_kind, ["auroc_macro"]) for title, of_kind in kinds.items() if of_kind}


def _prompts(of: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    if of.get("prompts"):
        return {"The exact prompts": of["prompts"]}
    protocols: Mapping[str, Mapping[str, Any]] = of.get("protocols", {})
    return {
        f"The exact prompts of {name}": about["prompts"]
        for name, about in protocols.items()
        if "prompts" in about
    }
