"""One evaluation as one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.pages.cases import case_group
from medistill.evaluate.pages.decisions import calibration_curves
from medistill.evaluate.pages.figures import UNIT_AXIS, figure_groups, findings, roc_curves, slices
from medistill.evaluate.pages.grounding import grounding
from medistill.evaluate.pages.training import training_charts
from medistill.evaluate.statistics.interval import Entry
from medistill.html import templates


def page(evaluation: Evaluation, *, with_cases: bool, history: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page; it holds images and report texts only `with_cases`."""
    about, examples = evaluation.protocol, evaluation.examples
    return templates.page(
        "medistill.evaluate.pages",
        "evaluation.html",
        about=about,
        drawn=evaluation.drawn_cases,
        tiles=_tiles(evaluation),
        unit_axis=UNIT_AXIS,
        groups=figure_groups(evaluation.metrics),
        findings=findings(evaluation),
        slices=slices(evaluation.metrics),
        roc_curves=roc_curves(evaluation),
        calibration=calibration_curves(about["reliability"]) if about["calls"] else [],
        grounding=grounding(evaluation, shown=with_cases),
        charts=training_charts(evaluation.metrics, history),
        trained=bool(history),
        cases=[case_group(examples, about["n_distinct_reports"], shown=with_cases)] if examples else [],
    )


def _tiles(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The four figures that say most: ranking, worst finding, few shots, retrieval beyond "normal"."""
    zero, few, search = (evaluation.metrics.get(task, {}) for task in ("zero_shot", "few_shot", "retrieval"))
    per_finding = {n.partition("/")[2]: e for n, e in zero.items() if n.startswith("auroc/")}
    values = {name: float(e["value"]) for name, e in per_finding.items() if isinstance(e["value"], float)}
    worst = min(values, key=lambda name: (values[name], name), default="")
    recall = search.get("i2t_r@10_unique")
    tiles = {
        "Zero-shot AUROC, macro": zero.get("auroc_macro"),
        f"Worst finding: {worst}": per_finding.get(worst),
        "16-shot AUROC, macro": few.get("auroc_macro@16"),
        "Recall@10, unique reports": recall,
    }
    return [
        {
            "name": name,
            "entry": entry,
            "times_chance": _times(entry, search.get("chance_r@10")) if entry is recall else None,
        }
        for name, entry in tiles.items()
        if entry is not None
    ]


def _times(entry: Entry, chance: Entry | None) -> float | None:
    """How many times chance it is, if neither is nothing."""
    value, blind = (float(e["value"] or 0) if e else 0.0 for e in (entry, chance))
    return value / blind if value and blind else None
