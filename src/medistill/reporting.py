"""What commands say: JSON on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def report_card(card: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(card)
    for name, counts in card["splits"].items():
        listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if isinstance(count, int))
        say(f"{name:<6} {listed}")
    for kind, what in (("rejected", "set aside"), ("skipped", "skipped by rule")):
        entry = card.get(kind)
        if entry and entry["count"]:
            say(f"{entry['count']:,} rows {what}, see {out / 'rejected.csv'}:")
            for reason, count in entry["reasons"].items():
                say(f"  {count:>6,}  {reason}")
    say(f"corpus: {out}")


def report_figures(out: Path, as_json: bool) -> None:
    from medistill.evaluate.write import read_headlines, read_metrics

    metrics = read_metrics(out)
    if as_json:
        print_json(metrics)
    shown = {
        "zero_shot": ("auroc_macro",),
        "few_shot": (
            *("auroc_macro@1", "auroc_macro@4", "auroc_macro@16", "auroc_macro@100%"),
            *(f"fine_tune_auroc_macro@{share}" for share in ("1%", "10%", "100%")),
        ),
        "retrieval": ("i2t_r@10", "t2i_r@10", "i2t_r@10_unique", "chance_r@10"),
    }
    for task, names in shown.items():
        for name in names:
            entry = metrics.get(task, {}).get(name)
            if entry:
                say(f"{task:<10} {name:<26} {_figure(entry)}")
    for name, headline in read_headlines(out).items():
        say(f"{name} {headline} {_figure(metrics[f'protocol:{name}'][headline])}")
    say(f"page: {out / 'page.html'}")


def report_comparison(models: Sequence[str], out: Path, as_json: bool) -> None:
    from medistill.evaluate.write import COMPARISON_PAGE, read_comparison

    told = read_comparison(out)
    if as_json:
        print_json(told)
    for label, model in zip(told["models"], models, strict=True):
        say(f"{label} {model}")
    for task, name in told["headlines"]:
        for label, entry in told["tasks"][task][name]["differences"].items():
            say(f"{task:<10} {name:<26} {label} less {told['baseline']} {_figure(entry, '+.3f')}")
    count = told["differences"]
    say(f"{count['excluding_zero']} of {count['with_interval']} differences exclude zero, unadjusted")
    say(f"page: {out / COMPARISON_PAGE}")


def _figure(entry: Mapping[str, Any], shape: str = ".3f") -> str:
    if entry["value"] is None:
        return f"not defined: {entry['reason']}"
    n = f"n = {entry['n_images']} images, {entry['n_patients']} patients"
    value, low, high = (format(entry[part], shape) for part in ("value", "low", "high"))
    return f"{value} [{low}, {high}]  {n}"


def report_labels(told: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(told)
    for finding, entry in told["findings"].items():
        basis = "" if entry["calibrated"] else "uncalibrated"
        examples = "" if entry["positive"] is None else f"n = {entry['positive']} + {entry['negative']}"
        counted = f"present in {entry['present']:,} of {told['labeled']:,}"
        say(f"{finding:<24} {counted}  threshold {entry['threshold']:.3f}  {examples}  {basis}".rstrip())
    if unreadable := told["unreadable"]["count"]:
        say(f"{unreadable:,} images cannot be read; the last column says why")
    say(f"labels: {out}")


def report_export(told: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(told)
    checked = told["checked"]
    if checked["by"]:
        say(f"largest difference {checked['largest_difference']:.1e} under {checked['by']}")
    else:
        say(f"not checked: {checked['reason']}")
    if "int8" in told:
        int8 = told["int8"]
        for name in ("auroc_macro", "i2t_r@10", "t2i_r@10"):
            figures = int8["figures"]["float"][name], int8["figures"]["int8"][name]
            say(f"{name:<12} float {_figure(figures[0])}")
            say(f"{'':<12} int8  {_figure(figures[1])}; less float {_figure(int8['int8_less_float'][name])}")
        for what in ("images", "texts"):
            say(f"{what:<12} int8 is {int8['speed'][what]['ratio']:.2f} times as fast as float, one thread")
        say(f"size         {in_units(int8['bytes']['float'])} float, {in_units(int8['bytes']['int8'])} int8")
    say(f"export: {out}")


def print_json(value: Any) -> None:
    """One line of JSON on standard output, from one rank for all."""
    if first_rank():
        print(json.dumps(value, sort_keys=True))  # noqa: T201


def say(line: str) -> None:
    """A line on standard error, from one rank for all."""
    if first_rank():
        print(line, file=sys.stderr)  # noqa: T201


def first_rank() -> bool:
    """Whether this process speaks for all that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


def in_units(size: int | float) -> str:
    """Bytes for people: 11.2 GB, 840 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
