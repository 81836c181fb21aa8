"""The comparison as one HTML file that needs nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medistill.compare.comparison import TITLES
from medistill.compare.results import SHOWN, Estimate
from medistill.compare.verdict import failed
from medistill.html.chart import range_axis, range_plot
from medistill.html.document import document
from medistill.html.markup import Html, joined, section, tag
from medistill.html.words import NOTHING, in_units, number

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


Domain = tuple[float, float]


def figures_card(results: Mapping[str, Any], budget: str) -> Html:
    """The figures, each with its objectives below it."""
    by_label, baseline = results["budgets"][budget], results["settings"]["baseline"]
    heads = ["Mean", "Over seeds", "Over patients", f"Less {baseline}", "Over seeds", "Over patients"]
    wide = {1, 2, 4, 5}
    head = tag(
        "tr",
        tag("th", "Objective", scope="col"),
        tag("th", class_="plot", scope="col", aria_label="plot"),
        [
            tag("th", name, class_="number wide" if i in wide else "number", scope="col")
            for i, name in enumerate(heads)
        ],
    )
    groups = [_group(name, title, by_label, baseline) for name, title in SHOWN.items()]
    return tag("table", tag("thead", head), groups)


def _group(name: str, title: str, by_label: Mapping[str, Any], baseline: str) -> Html | None:
    entries = {label: standing["metrics"].get(name) for label, standing in by_label.items()}
    known = [entry for entry in entries.values() if entry and entry["value"] is not None]
    if not known:
        return None
    domain = _domain(known)
    middle = round((domain[0] + domain[1]) / 2, 3)
    counts = f"{known[0]['n_images']:,} images, {known[0]['n_patients']:,} patients"
    heading = tag(
        "tr",
        tag("th", title, scope="rowgroup"),
        tag("th", range_axis(domain, (domain[0], middle, domain[1])), class_="plot"),
        tag("td", counts, colspan=6, class_="number quiet wide"),
        class_="group",
    )
    base = entries[baseline]
    mark = None if base is None else base["value"]
    rows = [
        _row(label, entries[label], standing["differences"].get(name), domain, mark, bool(standing["failed"]))
        for label, standing in by_label.items()
    ]
    return tag("tbody", heading, rows)


def _row(
    label: str,
    entry: Estimate | None,
    difference: Estimate | None,
    domain: Domain,
    mark: float | None,
    failed: bool,
) -> Html:
    shown = tag("th", label, scope="row")
    if entry is None or entry["value"] is None:
        reason = "failed" if failed else f"not defined: {(entry or {}).get('reason', '')}"
        return tag("tr", shown, tag("td", reason, colspan=7, class_="quiet"))
    plot = range_plot(entry["value"], entry["low"], entry["high"], domain=domain, mark=mark)
    return tag(
        "tr", shown, tag("td", plot, class_="plot"), _cells(entry, "{:.3f}"), _cells(difference, "{:+.3f}")
    )


def _cells(entry: Estimate | None, shape: str) -> Html:
    """Value, interval over seeds, interval over patients; on a narrow page the second under the first."""
    if entry is None or entry["value"] is None:
        return joined([tag("td", NOTHING, class_=c) for c in ("number quiet", *["number quiet wide"] * 2)])
    seeds, patients = (_range(entry, prefix, shape) for prefix in ("", "patient_"))
    return joined(
        tag("td", shape.format(entry["value"]), tag("span", seeds, class_="under"), class_="number value"),
        tag("td", seeds, class_="number quiet wide"),
        tag("td", patients, class_="number quiet wide"),
    )


def _range(entry: Estimate, prefix: str, shape: str) -> str:
    low, high = entry[f"{prefix}low"], entry[f"{prefix}high"]
    return NOTHING if low is None else f"{shape} to {shape}".format(low, high)


def _domain(entries: Sequence[Estimate]) -> Domain:
    """Tenths that hold every value and interval."""
    ends = [entry[part] for entry in entries for part in ("value", "low", "high") if entry[part] is not None]
    low, high = math.floor(10 * min(ends) - 1e-9) / 10, math.ceil(10 * max(ends) + 1e-9) / 10
    return max(0.0, low), min(1.0, high) if high > max(0.0, low) else 1.0


_COSTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "Epochs": lambda s: str(s["epochs"]),
    "Pairs seen": lambda s: f"{s['costs']['pairs']:,.0f}",
    "Optimizer steps": lambda s: f"{s['costs']['steps']:,.0f}",
    "Seconds": lambda s: f"{s['costs']['seconds']:,.0f}",
    "CPU seconds": lambda s: f"{s['costs']['cpu_seconds']:,.0f}",
    "Pairs per second": lambda s: number(s["costs"]["pairs_per_second"]),
    "CPU ms a pair": lambda s: number(s["costs"]["cpu_ms_per_pair"]),
    "Peak memory of the training process": lambda s: in_units(s["costs"]["peak_memory_bytes"]),
    "Teacher half-life, pairs": lambda s: number(s["costs"]["teacher_half_life_pairs"]),
}

_TUNED = {"Learning rate": "lr", "Scale at start": "scale", "Warm-up": "warmup"}


def costs_card(results: Mapping[str, Any], budget: str) -> Html:
    """What training cost and the tuned values it ran at, a column an objective."""
    by_label = results["budgets"][budget]
    head = tag(
        "tr",
        tag("th", "Training", scope="col"),
        [tag("th", label, class_="number", scope="col") for label in by_label],
    )
    spent = {
        name: [cost(standing) if standing["costs"] else NOTHING for standing in by_label.values()]
        for name, cost in _COSTS.items()
    }
    chosen = [results["tuning"][label]["chosen"] or {} for label in by_label]
    tuned = {name: [number(values.get(field)) for values in chosen] for name, field in _TUNED.items()}
    rows = [
        tag("tr", tag("th", name, scope="row"), [tag("td", text, class_="number") for text in texts])
        for name, texts in {**spent, **tuned}.items()
    ]
    caption = tag("caption", "Medians over seeds; of the peaks of memory the largest.")
    return tag("table", caption, tag("thead", head), tag("tbody", rows))


def tuning_section(results: Mapping[str, Any]) -> Html | None:
    """Every trial's validation recall, the chosen one marked."""
    if not results["settings"]["trials"]:
        return None
    labels = list(results["tuning"])
    head = tag(
        "tr",
        [tag("th", name, scope="col") for name in ("Trial", "Scale", "Warm-up")],
        [tag("th", label, scope="col") for label in labels],
    )
    rows: list[Html] = []
    for trial in range(results["settings"]["trials"]):
        tried = [results["tuning"][label]["trials"][trial] for label in labels]
        best = [results["tuning"][label]["best"] == trial for label in labels]
        cells = [_trial(one, chosen) for one, chosen in zip(tried, best, strict=True)]
        shared = [tag("td", _shared(tried, name)) for name in ("scale", "warmup")]
        name = "recipe's own" if trial == 0 else str(trial)
        rows.append(tag("tr", tag("th", name, scope="row"), shared, cells))
    note = (
        "Mean recall@10 of both directions on validation, at the trial's learning rate; ✓ marks the chosen."
    )
    return section(
        "tuning",
        "Tuning",
        tag("p", note, class_="note"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="card scroll"),
    )


def _trial(trial: Mapping[str, Any], chosen: bool) -> Html:
    found = "failed" if trial["failed"] else f"{trial['recall']:.3f}"
    text = f"{'✓ ' if chosen else ''}{found} at {trial['lr']:.2g}"
    return tag("td", text, class_="chosen" if chosen else "quiet" if trial["failed"] else None)


def _shared(trials: Sequence[Mapping[str, Any]], name: str) -> str:
    """The draw's value; each objective's own where the recipe's values differ."""
    return " / ".join(dict.fromkeys(f"{trial[name]:.3g}" for trial in trials))
