"""One evaluation as one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.pages.cases import cases_section
from medistill.evaluate.pages.decisions import DECISION_STYLE, calls_card, reliability_card
from medistill.evaluate.pages.figures import (
    curves_section,
    figures_section,
    findings_section,
    slices_section,
)
from medistill.evaluate.pages.grounding import grounding_section
from medistill.evaluate.pages.training import training_section
from medistill.evaluate.statistics.interval import Entry
from medistill.html.document import document
from medistill.html.markup import Html, joined, section, tag
from medistill.html.words import in_sentence, in_words


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


def method_section(protocol: Mapping[str, Any]) -> Html:
    """Unit, counts, rules, hashes, prompts, and the command to repeat it."""
    return section(
        "method",
        "How this was measured",
        tag(
            "dl",
            [joined(tag("dt", name), tag("dd", text)) for name, text in _facts(protocol)],
            class_="facts",
        ),
        tag("h3", "To repeat it"),
        tag("pre", tag("code", _command(protocol))),
        _prompts(protocol["prompts"], protocol["findings"]) if protocol["prompts"] else None,
    )


def _facts(p: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Split", f"{p['split']}: {p['n_images']:,} studies, {p['n_patients']:,} patients"),
        ("Unit", p["unit"]),
        (
            "Intervals",
            f"95 %, {p['resamples']:,} bootstrap resamples of patients, seed {p['seed']}: percentiles, and "
            "for AUROC the log odds ± 1.96 of their standard deviations, which errs on both sides alike.",
        ),
        (
            "Zero-shot",
            "cosine to the finding's positive prompts less cosine to its negative ones; each side is the "
            "mean of its prompts' unit embeddings, made unit again. Studies labeled 1 or 0 count; "
            "uncertain and unstated do not. A finding without both classes is left out of the means.",
        ),
        ("Probabilities", p["calibration"]),
        (
            "Few-shot",
            f"for each finding, {p['few_shot_draws']} draws of k positive and k negative patients from "
            "train, one study each; logistic regression on frozen image embeddings, C cross-validated "
            "inside the draw from 4 shots on; and LP++ on the same draws, which starts from the prompts. "
            "Shares: that part of the training patients, stratified by each one's rarest finding, nested, "
            "five draws of 1 and 10 %, with all their studies. Where findings are classes: k patients of "
            "each, the likeliest class. No patient scored is trained on. The interval resamples draws and "
            "patients.",
        ),
        *([("Fine-tuning", _FINE_TUNING)] if p["fine_tune"] else []),
        (
            "Retrieval",
            f"{p['n_distinct_reports']:,} distinct reports (those equal when normalized are one); the "
            "gallery stays fixed while queries are resampled. What ties with the right answer is "
            "ranked before it. Precision: a report is relevant if it shares a finding with the study, or if "
            "both are normal.",
        ),
        *(
            [("Grounding", "; ".join(f"{k}: {v}" for k, v in p["grounding"].items()))]
            if "grounding" in p
            else []
        ),
        ("Images and texts", in_sentence(p.get("preprocessing"))),
        ("Model", f"SHA-256 {p['model_sha256']}" if p["model_sha256"] else "without a hash"),
        ("Corpus", f"SHA-256 {p['corpus_sha256']}"),
    ]


_FINE_TUNING = (
    "image tower and a linear head, on the first three draws of each share; AdamW, learning rate 0.001 and a "
    "tenth of it for the tower, at most 20 rounds, stopped by the loss on the validation split (without one, "
    "on a fifth of the draw's patients)."
)


def _command(p: Mapping[str, Any]) -> str:
    given = " --prompts PROMPTS" if p["prompts_given"] else ""
    tuned = " --fine-tune" if p["fine_tune"] else ""
    return f"medistill evaluate MODEL --data CORPUS --split {p['split']}{given}{tuned} --out DIR"


def _prompts(
    prompts: Mapping[str, Mapping[str, Sequence[str]]], about: Mapping[str, Mapping[str, Any]]
) -> Html:
    head = tag(
        "tr",
        [tag("th", name, scope="col") for name in ("Finding", "Present", "Absent")],
        tag("th", "Threshold", scope="col", class_="number wide"),
    )
    rows = [
        tag(
            "tr",
            tag("th", finding, scope="row"),
            [tag("td", tag("ul", [tag("li", text) for text in sides[s]])) for s in ("positive", "negative")],
            tag("td", f"{about[finding]['threshold']:.3f}", class_="number quiet wide"),
        )
        for finding, sides in prompts.items()
    ]
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag(
        "div", tag("h3", "Prompts", style="margin-top: 26px"), tag("div", table, class_="card prompts")
    )
