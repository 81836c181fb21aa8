"""The comparison as one HTML file that needs nothing else."""

from collections.abc import Mapping
from typing import Any

from medistill.compare.budget import TITLES
from medistill.compare.page_tables import costs_card, figures_card, tuning_section
from medistill.compare.verdict import failed
from medistill.evaluate.document import document
from medistill.evaluate.markup import Html, joined, section, tag

_MORE_STYLE = """
.verdict { font-size: 18px; line-height: 1.45; max-width: 66ch; color: var(--ink); margin: 0 0 12px; }
.card + .card { margin-top: 16px; }
.scroll { overflow-x: auto; }
.scroll th, .scroll td { white-space: nowrap; }
td.plot, th.plot { width: 24%; }
tr.group > th { white-space: nowrap; }
.chosen { font-weight: 640; color: var(--accent); }
@media (max-width: 640px) {
  .verdict { font-size: 16px; }
  td.plot, th.plot { display: none; }
  tr.group > th, .scroll tbody th { white-space: normal; }
}
"""


def page(results: Mapping[str, Any]) -> str:
    """The page: the verdict first, then the figures of each budget, the tuning, and how it was done."""
    settings = results["settings"]
    rivals = [label for label in settings["objectives"] if label != settings["baseline"]]
    title = f"{', '.join(rivals)} against {settings['baseline']}" if rivals else settings["baseline"]
    return document(
        f"medistill comparison: {title}",
        _header(results, title),
        [_budget_section(results, budget) for budget in results["budgets"]],
        tuning_section(results),
        _notes_section(results),
        _method_section(results),
        more_style=_MORE_STYLE,
    )


def _header(results: Mapping[str, Any], title: str) -> Html:
    settings, test = results["settings"], results["corpus"]["splits"]["test"]
    counted = ", ".join(f"{count:,} {what}" for what, count in test.items() if isinstance(count, int))
    source = results["corpus"]["source"]
    drawn = "phantom corpus" if source == "phantom" else f"corpus from {source or 'an unnamed source'}"
    seeds = f"{settings['seeds']} seeds" if settings["seeds"] > 1 else "one seed"
    tuned = f"{settings['trials']} tuning trials each" if settings["trials"] else "nothing tuned"
    lead = f"Test split of a {drawn}: {counted}. {seeds.capitalize()}, {tuned}."
    caveat = "Phantoms are drawn, not taken: the figures do not say how it does on patients."
    return tag(
        "header",
        tag("div", "medistill comparison", class_="eyebrow"),
        tag("h1", title),
        [tag("p", sentence, class_="verdict") for sentence in results["verdict"]],
        tag("p", lead, class_="lead"),
        tag("p", caveat, class_="caveat") if source == "phantom" else None,
    )


def _budget_section(results: Mapping[str, Any], budget: str) -> Html:
    by_label = results["budgets"][budget]
    broken = [
        tag("p", f"{label} failed: {failed(standing)}.", class_="caveat")
        for label, standing in by_label.items()
        if standing["failed"]
    ]
    note = (
        "A dot is the mean over seeds on its interval over seeds (Student's t); the dashed mark is "
        f"{results['settings']['baseline']}'s mean. Differences are paired, by seed and by patient."
    )
    return section(
        budget,
        TITLES[budget].capitalize(),
        tag("p", note, class_="note"),
        broken,
        tag(
            "div", figures_card(results, budget), class_="card", style="margin-top: 14px" if broken else None
        ),
        tag("div", costs_card(results, budget), class_="card scroll"),
    )


def _notes_section(results: Mapping[str, Any]) -> Html:
    return section(
        "notes", "To be read beside the figures", tag("ul", [tag("li", note) for note in results["notes"]])
    )


def _method_section(results: Mapping[str, Any]) -> Html:
    return section(
        "method",
        "How this was measured",
        tag(
            "dl", [joined(tag("dt", name), tag("dd", text)) for name, text in _facts(results)], class_="facts"
        ),
    )


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    settings = results["settings"]
    recipe = settings["recipe"]
    own = {
        label: {k: v for k, v in s.items() if k != "objective"} for label, s in settings["objectives"].items()
    }
    listed = "; ".join(
        f"{label}: {', '.join(f'{name} {value}' for name, value in fields.items())}"
        for label, fields in own.items()
        if fields
    )
    return [
        (
            "Over seeds",
            "mean and 95 % interval by Student's t over the seeds; differences are taken seed by seed. "
            "A percentile bootstrap over five seeds would cover 84 %, not 95 %.",
        ),
        (
            "Over patients",
            "95 % percentile interval of the mean over seeds, in 1,000 resamples of the test split's "
            "patients, the same patients for every model.",
        ),
        (
            "Tuning",
            f"{settings['trials']} trials an objective with the same draws of learning rate, scale and "
            f"warm-up, trained on seed {settings['tuning_seed']} and judged by the best validation's mean "
            "recall@10 of both directions; the test split was read by the final cells alone, once each.",
        ),
        (
            "Collapse",
            "a run counts as failed if training stopped with a reason, or if its recall@10 on the test split "
            "is within two standard errors of chance.",
        ),
        (
            "Recipe",
            f"{recipe['name']}: {recipe['size']} pixels, window {recipe['window']}, micro-batch "
            f"{recipe['micro_batch']}, {recipe['micro_per_step']} per step, {recipe['epochs']} epochs",
        ),
        ("Own settings", listed or "none: the objectives differ in nothing else"),
        ("Corpus", f"SHA-256 {settings['corpus']}"),
    ]
