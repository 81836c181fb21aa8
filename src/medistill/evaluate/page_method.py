"""The page's account of how its figures came about."""

from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.markup import Html, joined, section, tag


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


def in_sentence(told: Mapping[str, Any] | None) -> str:
    """A model's own preprocessing, as name and value; a step it leaves out is not named."""
    if not told:
        return "prepared by the model itself, which does not say how"
    return "; ".join(f"{name.replace('_', ' ')} {_value(v)}" for name, v in told.items() if v is not None)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(k).replace('_', ' ')} {_value(v)}" for k, v in value.items())  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
