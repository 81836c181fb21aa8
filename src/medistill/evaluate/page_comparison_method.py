"""The comparison page's account of how its differences came about."""

from collections.abc import Mapping
from typing import Any

from medistill.evaluate.markup import Html, joined, section, tag
from medistill.evaluate.page_method import in_sentence
from medistill.evaluate.page_protocols import prompts_details

Comparison = Mapping[str, Any]


def method_section(comparison: Comparison) -> Html:
    """Pairing, several comparisons, hashes, the command to repeat it, the exact prompts."""
    of = comparison["of"]
    facts = [joined(tag("dt", name), tag("dd", text)) for name, text in _facts(comparison)]
    return section(
        "method",
        "How this was measured",
        tag("dl", facts, class_="facts"),
        tag("h3", "To repeat it"),
        tag("pre", tag("code", _command(comparison))),
        [prompts_details(prompts, title) for title, prompts in _prompts(of)],
    )


def _prompts(of: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    if of.get("prompts"):
        return [("The exact prompts", of["prompts"])]
    protocols: Mapping[str, Mapping[str, Any]] = of.get("protocols", {})
    return [
        (f"The exact prompts of {name}", about["prompts"])
        for name, about in protocols.items()
        if "prompts" in about
    ]


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    of, told = comparison["of"], comparison["differences"]
    without = f"; {told['without']:,} could not be had, each with its reason" if told["without"] else ""
    return [
        *_cases(of),
        (
            "Pairing",
            "every model is scored on the same cases, and resample i draws the same patients with all their "
            "images for every model, and the same few-shot draws: the interval is the middle 95 % of the "
            "differences, resample by resample.",
        ),
        (
            "Many at once",
            f"{told['with_interval']:,} differences with an interval in comparison.json, of which "
            f"{told['excluding_zero']:,} exclude zero{without}. {told['adjustment']}. Name the "
            "figure that counts before looking.",
        ),
        (
            "p values",
            "two-sided, of no difference between two AUROCs on the same images: DeLong, DeLong and "
            "Clarke-Pearson 1988 where every patient has one image, Obuchowski 1997 otherwise.",
        ),
        (
            "Chance of training",
            "each model was trained once: the intervals hold what other patients would change, not what "
            "another seed of training would.",
        ),
        *(
            (f"Images and texts, {label}", in_sentence(about["preprocessing"]))
            for label, about in comparison["models"].items()
        ),
        *((f"Model {label}", _hash(about["model_sha256"])) for label, about in comparison["models"].items()),
        ("Corpus", f"SHA-256 {of['corpus_sha256']}"),
    ]


def _hash(sha256: str | None) -> str:
    return f"SHA-256 {sha256}" if sha256 else "without a hash"


def _cases(of: Mapping[str, Any]) -> list[tuple[str, str]]:
    protocols: Mapping[str, Mapping[str, Any]] = of.get("protocols", {})
    told = {f"Cases, {name}": about for name, about in protocols.items()} or {"Cases": of}
    return [
        (
            name,
            f"split {about['split']}: {about['n_images']:,} images of {about['n_patients']:,} patients; "
            f"{about['resamples']:,} resamples of patients, seed {about['seed']}",
        )
        for name, about in told.items()
    ]


def _command(comparison: Comparison) -> str:
    of, (base, *rivals) = comparison["of"], list(comparison["models"])
    what = f" --protocol {' '.join(of['protocols'])}" if "protocols" in of else f" --split {of['split']}"
    given = " --prompts PROMPTS" if of["prompts_given"] else ""
    tuned = " --fine-tune" if of.get("fine_tune") else ""
    models = f"{base} --against {' '.join(rivals)}"
    return f"medistill evaluate {models} --data CORPUS{what}{given}{tuned} --out DIR"
