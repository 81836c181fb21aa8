"""The page of named protocols: figures, how each was scored, what to compare them with."""

from collections.abc import Mapping
from typing import Any

from medistill.evaluate.pages.cases import case_group
from medistill.evaluate.pages.decisions import calibration_curves
from medistill.evaluate.pages.figures import UNIT_AXIS, figure_groups
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.tasks.examples import Shown
from medistill.html import templates

_POOLED = {
    "mean": "mean of the cosines to its prompts",
    "unit mean": "cosine to the mean of its prompts, made unit again",
    "max": "highest cosine to one of its prompts",
}


def protocol_page(
    metrics: Mapping[str, Metrics], account: Mapping[str, Any], shown: Mapping[str, Shown] | None = None
) -> str:
    """One page for all protocols of an evaluation.

    shown   images and reports by split; None keeps them off the page, which then says so
    """
    protocols: Mapping[str, Mapping[str, Any]] = account["protocols"]
    return templates.page(
        "medistill.evaluate.pages",
        "protocols.html",
        account=account,
        unit_axis=UNIT_AXIS,
        groups=figure_groups(metrics),
        protocols={name: _protocol(metrics[f"protocol:{name}"], about) for name, about in protocols.items()},
        alike=_of_the_same_cases(protocols),
        cases=_cases(shown),
    )


def _protocol(entries: Metrics, about: Mapping[str, Any]) -> dict[str, Any]:
    """How one was scored, and its figures."""
    ranked = about["task"] == "retrieval"
    return {
        "about": about,
        "entries": entries,
        "prompts": "" if ranked else _counted(about),
        "score": "" if ranked else _POOLED[about["pooling"]],
        "then": "" if ranked else _then(about),
        "calibration": calibration_curves(about["reliability"]) if about.get("calls") else [],
    }


def _cases(shown: Mapping[str, Shown] | None) -> list[dict[str, Any]]:
    if shown is None:
        return [case_group((), 0, shown=False)]
    return [
        case_group(one.examples, one.texts, shown=True, split=split)
        for split, one in shown.items()
        if one.examples
    ]


def _of_the_same_cases(protocols: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The protocols beside which another one scores the same cases, and so gives another figure."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, about in protocols.items():
        if about["task"] != "retrieval":
            groups.setdefault((about["split"], about["task"], about["unit"]), []).append(name)
    return [name for names in groups.values() if len(names) > 1 for name in names]


def _counted(about: Mapping[str, Any]) -> str:
    sizes = sorted({len(sides["positive"]) for sides in about["prompts"].values()})
    whole = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    if not about["sampled"]:
        return f"all {whole}"
    draws = f", {about['runs']} draws" if about["runs"] > 1 else ", one draw"
    most = "up to " if about["sampled"] > sizes[0] else ""
    return f"{most}{about['sampled']} of {whole}{draws}"


def _then(about: Mapping[str, Any]) -> str:
    if about["standardized"]:
        return "each class is centered and scaled over all test cases (transductive); the highest wins"
    if about["task"] == "classes":
        return "the highest wins"
    denied = any(sides["negative"] for sides in about["prompts"].values())
    return "less the negative side's score" if denied else "as it is: nothing is said of its absence"
