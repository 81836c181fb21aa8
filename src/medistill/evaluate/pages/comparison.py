"""The page of several models on the same cases: differences first, then each model's figures."""

from collections.abc import Mapping
from typing import Any

from medistill.evaluate.pages.differences import (
    COMPARISON_STYLE,
    differences_card,
    figure_name,
    signed,
    values_card,
    verdict,
)
from medistill.evaluate.pages.names import NAMES, TASKS
from medistill.evaluate.pages.prompts import prompts_details
from medistill.html.document import document
from medistill.html.markup import Html, joined, section, tag
from medistill.html.words import in_sentence

Comparison = Mapping[str, Any]
_SLICE = "zero_shot/"
_IN_A_TILE = {"i2t_r@10_unique": "Recall@10, unique reports"}
"""Names that say enough where they do not stand below another figure."""


def comparison_page(comparison: Comparison) -> str:
    """One page from what comparison.json holds; no image, no report and no path is on it."""
    return document(
        "medistill comparison",
        _header(comparison),
        _models_section(comparison),
        _differences_section(comparison),
        _findings_section(comparison),
        _groups_section(comparison),
        _figures_section(comparison),
        method_section(comparison),
        more_style=COMPARISON_STYLE,
    )


def _header(comparison: Comparison) -> Html:
    of, base = comparison["of"], comparison["baseline"]
    rivals = [label for label in comparison["models"] if label != base]
    phantom = of["source"] == "phantom"
    drawn = "phantom corpus" if phantom else f"corpus from {of['source'] or 'an unnamed source'}"
    cases = f"{of['n_images']:,} studies of {of['n_patients']:,} patients, " if "n_images" in of else ""
    tiles = [_tile(comparison, task, name, to) for task, name in comparison["headlines"] for to in rivals]
    caveat = "Phantoms are drawn, not taken: the figures do not say how it does on patients."
    return tag(
        "header",
        tag("div", "medistill comparison", class_="eyebrow"),
        tag("h1", f"{' and '.join(rivals)} against {base} on the same cases"),
        tag(
            "p",
            f"{drawn.capitalize()} · {cases}the same for every model. Every difference is from {base} and "
            "carries a 95 % interval, paired by patient.",
            class_="lead",
        ),
        tag("dl", tiles, class_="tiles"),
        tag("p", caveat, class_="caveat") if phantom else None,
    )


def _tile(comparison: Comparison, task: str, name: str, rival: str) -> Html:
    entry = comparison["tasks"][task][name]["differences"][rival]
    value, interval = signed(entry)
    title = f"{_task(task).partition(':')[0]}: {_IN_A_TILE.get(name, figure_name(name))}"
    return tag(
        "div",
        tag("dt", f"{title}, {rival} less {comparison['baseline']}"),
        tag("dd", value, class_="value"),
        tag("dd", interval, tag("br"), verdict(task, name, entry), class_="detail"),
        class_="tile",
    )


def _task(task: str) -> str:
    return TASKS.get(task, task.removeprefix("protocol:"))


def _models_section(comparison: Comparison) -> Html:
    heads = ("Model", "Name", "SHA-256", "Its page")
    head = tag("tr", [tag("th", name, scope="col") for name in heads])
    rows = [
        tag(
            "tr",
            tag("th", f"{label} (baseline)" if label == comparison["baseline"] else label, scope="row"),
            tag("td", about["name"]),
            tag("td", tag("code", about["model_sha256"][:10] if about["model_sha256"] else "none")),
            tag("td", tag("a", f"{label}/page.html", href=f"{label}/page.html")),
        )
        for label, about in comparison["models"].items()
    ]
    note = "Letters stand for the models in the order of the command; each has an evaluation of its own."
    return section(
        "models",
        "Models",
        tag("p", note, class_="note"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="card scroll"),
    )


def _differences_section(comparison: Comparison) -> Html:
    told = comparison["differences"]
    whole = {task: _whole(entries) for task, entries in _tasks(comparison).items()}
    note = (
        "A full dot, ▲ or ▼ and a bold figure: the interval excludes zero, and the model is above or below "
        f"{comparison['baseline']}. A hollow dot: it holds zero, which does not show that there is no "
        f"difference. comparison.json holds {told['with_interval']:,} differences with an interval, the rows "
        f"of all sections and more; {told['excluding_zero']:,} exclude zero. Intervals are not adjusted for "
        f"their number: among {told['with_interval']:,} differences that are none, about "
        f"{told['with_interval'] / 20:,.0f} would."
    )
    return section(
        "differences",
        f"Differences from {comparison['baseline']}",
        tag("p", note, class_="note"),
        differences_card(comparison, {_task(task): (task, names) for task, names in whole.items()}),
    )


def _tasks(comparison: Comparison) -> dict[str, Mapping[str, Any]]:
    """Those of all cases, in the page's order."""
    tasks: Mapping[str, Mapping[str, Any]] = comparison["tasks"]
    whole = [task for task in tasks if not task.startswith(_SLICE)]
    whole.sort(key=lambda task: list(TASKS).index(task) if task in TASKS else len(TASKS))
    return {task: tasks[task] for task in whole}


def _whole(entries: Mapping[str, Any]) -> list[str]:
    """The figures that are not of one finding, in the page's order."""
    known = list(NAMES)
    return sorted(
        (name for name in entries if "/" not in name),
        key=lambda name: (known.index(name) if name in known else len(known), name),
    )


def _findings_section(comparison: Comparison) -> Html | None:
    """AUROC of each finding and recall of each class."""
    groups = {
        _task(task): (task, names)
        for task, entries in _tasks(comparison).items()
        if (names := [name for name in entries if name.startswith(("auroc/", "recall/"))])
    }
    if not groups:
        return None
    note = (
        "AUROC of each finding, or recall of each class. The interval is from the bootstrap; p is two-sided, "
        "DeLong's where every patient has one image, Obuchowski's for clusters where not, of AUROCs alone. "
        "Holm: adjusted for the findings of a task."
    )
    return section(
        "findings",
        "By finding",
        tag("p", note, class_="note"),
        differences_card(comparison, groups, tested=True),
    )


def _groups_section(comparison: Comparison) -> Html | None:
    """Differences within each group, and whether a gap between groups is another model's too."""
    slices = [task for task in comparison["tasks"] if task.startswith(_SLICE)]
    if not slices:
        return None
    within = [task for task in slices if " less " not in task]
    between = [task for task in slices if " less " in task]
    note = (
        "Zero-shot AUROC, macro. Within a group: how the models differ on its cases. Gaps: how far the "
        "difference between two groups (less) is another one, in the same resamples."
    )
    groups = {
        title: (tasks, ["auroc_macro"])
        for title, tasks in (("Within a group", within), ("Gaps between groups", between))
        if tasks
    }
    return section("groups", "By group", tag("p", note, class_="note"), differences_card(comparison, groups))


def _figures_section(comparison: Comparison) -> Html:
    groups = {_task(task): (task, _whole(entries)) for task, entries in _tasks(comparison).items()}
    note = (
        "A dot on its 95 % interval, as on each model's own page; the dashed mark is the value of "
        f"{comparison['baseline']}. Two intervals that overlap do not show that models are alike: see the "
        "differences, which are paired."
    )
    return section(
        "figures", "Figures of each model", tag("p", note, class_="note"), values_card(comparison, groups)
    )


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
