"""The page of named protocols: figures, how each was scored, what to compare them with."""

from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.pages.cases import cases_section
from medistill.evaluate.pages.decisions import DECISION_STYLE, calls_card, reliability_card
from medistill.evaluate.pages.figures import figures_section
from medistill.evaluate.pages.prompts import prompts_details, prompts_table
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.tasks.examples import Shown
from medistill.html.document import document
from medistill.html.markup import Html, joined, section, tag
from medistill.html.words import in_words

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
    return document(
        "medistill evaluation",
        _header(account),
        figures_section(metrics),
        _differences(metrics, protocols),
        *(_section(metrics[f"protocol:{name}"], about) for name, about in protocols.items()),
        _cases(shown),
        _repeat(account),
        more_style=DECISION_STYLE,
    )


def _cases(shown: Mapping[str, Shown] | None) -> list[Html | None]:
    if shown is None:
        return [cases_section((), 0, shown=False)]
    return [cases_section(one.examples, one.texts, shown=True, split=split) for split, one in shown.items()]


def _header(account: Mapping[str, Any]) -> Html:
    model = f"model {account['model_sha256'][:10]}" if account["model_sha256"] else "model without a hash"
    source, count = account["source"] or "an unnamed source", len(account["protocols"])
    title = "Figures by named protocols" if count > 1 else "Figures by a named protocol"
    return tag(
        "header",
        tag("div", "medistill evaluation", class_="eyebrow"),
        tag("h1", title),
        tag(
            "p",
            f"Corpus from {source} · {model}. Every figure carries a 95 % interval, resampled by patient.",
            class_="lead",
        ),
    )


def _differences(metrics: Mapping[str, Metrics], protocols: Mapping[str, Mapping[str, Any]]) -> Html | None:
    """Why protocols that score the same cases give different figures."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, about in protocols.items():
        if about["task"] != "retrieval":
            groups.setdefault((about["split"], about["task"], about["unit"]), []).append(name)
    several = [names for names in groups.values() if len(names) > 1]
    if not several:
        return None
    head = tag(
        "tr",
        [tag("th", name, scope="col") for name in ("Protocol", "Prompts a class", "A class's score", "Then")],
        tag("th", "Figure", scope="col", class_="number"),
    )
    rows = [_difference(metrics[f"protocol:{name}"], protocols[name]) for names in several for name in names]
    return section(
        "differences",
        "Why figures of the same images differ",
        tag(
            "p",
            "These protocols score the same model on the same images and labels. They differ in the "
            "prompts they take, in how the prompts of a class are made one score, and in what is done to "
            "the scores: that alone is why their figures differ, and why a figure without its protocol "
            "cannot be compared.",
            class_="note",
        ),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="card prompts"),
    )


def _difference(entries: Metrics, about: Mapping[str, Any]) -> Html:
    value, interval = in_words(entries[about["headline"]])
    return tag(
        "tr",
        tag("th", about["name"], scope="row"),
        tag("td", _counted(about)),
        tag("td", _POOLED[about["pooling"]]),
        tag("td", _then(about)),
        tag("td", f"{about['headline']} {value} ({interval})", class_="number"),
    )


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


def _section(entries: Metrics, about: Mapping[str, Any]) -> Html:
    name = about["name"]
    return section(
        name,
        name,
        tag("p", f"{about['about']}.", class_="note"),
        tag("dl", [joined(tag("dt", k), tag("dd", v)) for k, v in _facts(about)], class_="facts"),
        _published(entries, about["published"]),
        _confusion(about),
        [reliability_card(about["reliability"]), calls_card(about["calls"])] if about.get("calls") else None,
        prompts_details(about["prompts"], "The exact prompts") if "prompts" in about else None,
    )


def _facts(about: Mapping[str, Any]) -> list[tuple[str, Html | str]]:
    cases = "images" if about["unit"] == "image" else "studies by their first frontal image"
    facts: list[tuple[str, Html | str]] = [
        ("Follows", about["reproduces"]),
        ("Cases", f"split {about['split']}: {about['n_images']:,} {cases}, {about['n_patients']:,} patients"),
    ]
    if about["task"] == "retrieval":
        facts.append(("Gallery", "the distinct texts, letter by letter; each image asks for its own"))
    else:
        facts += [
            ("Prompts", f"{about['prompts_origin']}; {_counted(about)} a class"),
            ("Score", f"{_POOLED[about['pooling']]}; {_then(about)}"),
        ]
    if about["standardized"]:
        facts.append(("Warning", "transductive: a case's class depends on the other test cases"))
    if about.get("calibration"):
        facts.append(("Probabilities", about["calibration"]))
    if about["apart"]:
        facts.append(("Apart from the means", ", ".join(about["apart"])))
    spread = f"95 %, {about['resamples']:,} bootstrap resamples of patients, seed {about['seed']}"
    draws = "; draws of prompts are resampled too" if about["runs"] > 1 else ""
    facts.append(("Intervals", spread + draws))
    if about["traps"]:
        facts.append(("Beware", tag("ul", [tag("li", trap) for trap in about["traps"]])))
    return facts


def _published(entries: Metrics, published: Sequence[Mapping[str, Any]]) -> Html | None:
    if not published:
        return None
    rows: list[Html] = []
    for told in published:
        here = in_words(entries[told["metric"]])[0] if told["metric"] in entries else "-"
        cells = (told["metric"], f"{told['value']:.3f}", told["system"], here, told["origin"])
        rows.append(tag("tr", [tag("td", cell) for cell in cells]))
    return prompts_table(("Published", "Figure", "By", "Here", "Read in"), rows)


def _confusion(about: Mapping[str, Any]) -> Html | None:
    if "confusion" not in about:
        return None
    classes = list(about["classes"])
    rows = [
        tag("tr", tag("th", name, scope="row"), [tag("td", _count(count)) for count in counts])
        for name, counts in zip(classes, about["confusion"], strict=True)
    ]
    return prompts_table(("Shows, and is called", *classes), rows)


def _count(mean: float) -> str:
    return f"{mean:,.1f}".removesuffix(".0")


def _repeat(account: Mapping[str, Any]) -> Html:
    names = " ".join(account["protocols"])
    given = " --prompts PROMPTS" if account["prompts_given"] else ""
    command = f"medistill evaluate MODEL --data CORPUS --protocol {names}{given} --out DIR"
    model = f"SHA-256 {account['model_sha256']}" if account["model_sha256"] else "without a hash"
    told = account["preprocessing"] or {}
    steps = "; ".join(f"{k.replace('_', ' ')} {v}" for k, v in told.items() if v is not None)
    facts = [
        ("Images and texts", steps or "prepared by the model itself, which does not say how"),
        ("Model", model),
        ("Corpus", f"SHA-256 {account['corpus_sha256']}"),
    ]
    return section(
        "repeat",
        "To repeat it",
        tag("dl", [joined(tag("dt", name), tag("dd", text)) for name, text in facts], class_="facts"),
        tag("pre", tag("code", command)),
    )
