"""One evaluation as one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.document import document
from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.interval import Entry
from medistill.evaluate.markup import Html, section, tag
from medistill.evaluate.page_cases import cases_section
from medistill.evaluate.page_decisions import DECISION_STYLE, calls_card, reliability_card
from medistill.evaluate.page_figures import (
    curves_section,
    figures_section,
    findings_section,
    in_words,
    slices_section,
)
from medistill.evaluate.page_grounding import grounding_section
from medistill.evaluate.page_method import method_section
from medistill.evaluate.page_training import training_section


def page(evaluation: Evaluation, *, with_cases: bool, history: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page; it holds images and report texts only `with_cases`."""
    return document(
        "medistill evaluation",
        _header(evaluation),
        figures_section(evaluation.metrics),
        findings_section(evaluation),
        slices_section(evaluation.metrics),
        curves_section(evaluation),
        _decisions(evaluation.protocol),
        grounding_section(evaluation, shown=with_cases),
        training_section(evaluation.metrics, history),
        _cases(evaluation, shown=with_cases),
        method_section(evaluation.protocol),
        more_style=DECISION_STYLE,
    )


def _header(evaluation: Evaluation) -> Html:
    about = evaluation.protocol
    drawn = (
        "phantom corpus"
        if evaluation.drawn_cases
        else f"corpus from {about['source'] or 'an unnamed source'}"
    )
    model = f"model {about['model_sha256'][:10]}" if about["model_sha256"] else "model without a hash"
    return tag(
        "header",
        tag("div", "medistill evaluation", class_="eyebrow"),
        tag("h1", "How well images and reports find each other"),
        tag(
            "p",
            f"Split {about['split']}: {about['n_images']:,} studies of {about['n_patients']:,} patients, ",
            "one image each · ",
            f"{drawn} · {model}. Every figure carries a 95 % interval, resampled by patient.",
            class_="lead",
        ),
        tag("dl", _tiles(evaluation), class_="tiles"),
        _caveat() if evaluation.drawn_cases else None,
    )


def _caveat() -> Html:
    text = (
        "Phantoms are drawn, not taken: the figures show that the method works, not how it does on patients."
    )
    return tag("p", text, class_="caveat")


def _decisions(about: Mapping[str, Any]) -> Html | None:
    """Calibration and calls, where any finding has both classes."""
    if not about["calls"]:
        return None
    return section(
        "decisions",
        "Probabilities and calls",
        tag("p", f"Probabilities: {about['calibration']}.", class_="note"),
        reliability_card(about["reliability"]),
        calls_card(about["calls"]),
    )


def _cases(evaluation: Evaluation, *, shown: bool) -> Html | None:
    if not evaluation.examples:
        return None
    return cases_section(evaluation.examples, evaluation.protocol["n_distinct_reports"], shown=shown)


def _tiles(evaluation: Evaluation) -> list[Html | None]:
    """The four figures that say most: ranking, worst finding, few shots, retrieval beyond "normal"."""
    zero, few, search = (evaluation.metrics.get(task, {}) for task in ("zero_shot", "few_shot", "retrieval"))
    tiles = [_tile("Zero-shot AUROC, macro", zero.get("auroc_macro"))]
    per_finding = {n.partition("/")[2]: e for n, e in zero.items() if n.startswith("auroc/")}
    known = {name: float(e["value"]) for name, e in per_finding.items() if isinstance(e["value"], float)}
    if known:
        worst = min(known, key=lambda name: (known[name], name))
        tiles.append(_tile(f"Worst finding: {worst}", per_finding[worst]))
    tiles.append(_tile("16-shot AUROC, macro", few.get("auroc_macro@16")))
    recall, chance = search.get("i2t_r@10_unique"), search.get("chance_r@10")
    tiles.append(_tile("Recall@10, unique reports", recall, _times(recall, chance)))
    return tiles


def _tile(name: str, entry: Entry | None, more: str = "") -> Html | None:
    if entry is None:
        return None
    value, interval = in_words(entry)
    detail = str(entry.get("reason", "")) if entry["value"] is None else f"{interval}{more}"
    return tag(
        "div",
        tag("dt", name),
        tag("dd", value, class_="value"),
        tag("dd", detail, class_="detail"),
        class_="tile",
    )


def _times(entry: Entry | None, chance: Entry | None) -> str:
    found, blind = (float(e["value"] or 0) if e else 0.0 for e in (entry, chance))
    return f" · {found / blind:.0f} times chance" if found and blind else ""
