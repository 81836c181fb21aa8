"""The comparison as one HTML file that needs nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medistill.compare.comparison import TITLES
from medistill.compare.results import SHOWN, Estimate
from medistill.compare.verdict import failed
from medistill.html import templates
from medistill.html.chart import range_axis, range_plot
from medistill.html.words import NOTHING, in_units, number

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


def page(results: Mapping[str, Any]) -> str:
    """The page: the verdict first, then the figures of each budget, the tuning, and how it was done."""
    settings = results["settings"]
    baseline = settings["baseline"]
    rivals = [label for label in settings["objectives"] if label != baseline]
    return templates.page(
        "medistill.compare",
        "compare.html",
        title=f"{', '.join(rivals)} against {baseline}" if rivals else baseline,
        results=results,
        settings=settings,
        tested={what: n for what, n in results["corpus"]["tested"].items() if isinstance(n, int)},
        folds=settings["recipe"].get("folds", 0),
        budgets=[_budget(results, name) for name in results["budgets"]],
        trials=_trials(results),
        own={label: _own_settings(fields) for label, fields in settings["objectives"].items()},
    )


def _own_settings(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "objective"}


def _budget(results: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The figures of one budget, each with its objectives below it, and what training cost."""
    by_label, baseline = results["budgets"][name], results["settings"]["baseline"]
    return {
        "name": name,
        "title": TITLES[name].capitalize(),
        "labels": list(by_label),
        "failures": {label: failed(standing) for label, standing in by_label.items() if standing["failed"]},
        "groups": [
            group
            for figure, title in SHOWN.items()
            if (group := _group(figure, title, by_label, baseline)) is not None
        ],
        "costs": _costs(results, by_label),
    }


def _group(name: str, title: str, by_label: Mapping[str, Any], baseline: str) -> dict[str, Any] | None:
    entries = {label: standing["metrics"].get(name) for label, standing in by_label.items()}
    known = [entry for entry in entries.values() if entry and entry["value"] is not None]
    if not known:
        return None
    domain = _domain(known)
    mark = (entries[baseline] or {}).get("value")
    rows: list[dict[str, Any]] = []
    for label, entry in entries.items():
        row: dict[str, Any] = {"label": label, "reason": _reason(entry, by_label[label])}
        if entry and entry["value"] is not None:
            difference = by_label[label]["differences"].get(name)
            row["plot"] = range_plot(entry, domain=domain, mark=mark)
            row["figures"] = [_in_words(entry, "{:.3f}"), _in_words(difference, "{:+.3f}")]
        rows.append(row)
    middle = round((domain[0] + domain[1]) / 2, 3)
    return {
        "title": title,
        "axis": range_axis(domain, (domain[0], middle, domain[1])),
        "n_images": known[0]["n_images"],
        "n_patients": known[0]["n_patients"],
        "rows": rows,
    }


def _reason(entry: Estimate | None, standing: Mapping[str, Any]) -> str:
    """Why an objective has no figure."""
    return "failed" if standing["failed"] else f"not defined: {(entry or {}).get('reason', '')}"


def _in_words(entry: Estimate | None, shape: str) -> tuple[str, str, str] | None:
    """Value, interval over seeds, interval over patients."""
    if entry is None or entry["value"] is None:
        return None
    return shape.format(entry["value"]), _range(entry, "", shape), _range(entry, "patient_", shape)


def _range(entry: Estimate, prefix: str, shape: str) -> str:
    low, high = entry[f"{prefix}low"], entry[f"{prefix}high"]
    return NOTHING if low is None else f"{shape} to {shape}".format(low, high)


def _domain(entries: Sequence[Estimate]) -> tuple[float, float]:
    """Tenths that hold every value and interval."""
    ends = [entry[part] for entry in entries for part in ("value", "low", "high") if entry[part] is not None]
    low, high = math.floor(10 * min(ends) - 1e-9) / 10, math.ceil(10 * max(ends) + 1e-9) / 10
    return max(0.0, low), min(1.0, high) if high > max(0.0, low) else 1.0


def _costs(results: Mapping[str, Any], by_label: Mapping[str, Any]) -> dict[str, list[str]]:
    """What training cost and the tuned values it ran at, a column an objective."""
    spent = {
        name: [cost(standing) if standing["costs"] else NOTHING for standing in by_label.values()]
        for name, cost in _COSTS.items()
    }
    chosen = [results["tuning"][label]["chosen"] or {} for label in by_label]
    tuned = {name: [number(values.get(field)) for values in chosen] for name, field in _TUNED.items()}
    return {**spent, **tuned}


def _trials(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every trial's validation recall, the chosen one marked."""
    rows: list[dict[str, Any]] = []
    for place in range(results["settings"]["trials"]):
        trials = [tuning["trials"][place] for tuning in results["tuning"].values()]
        chosen = [tuning["best"] == place for tuning in results["tuning"].values()]
        shared = [_shared(trials, name) for name in ("scale", "warmup")]
        rows.append({"shared": shared, "trials": list(zip(trials, chosen, strict=True))})
    return rows


def _shared(trials: Sequence[Mapping[str, Any]], name: str) -> str:
    """The draw's value; each objective's own where the recipe's values differ."""
    return " / ".join(dict.fromkeys(f"{trial[name]:.3g}" for trial in trials))
