"""The results as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from medistill.compare.budget import TITLES
from medistill.compare.results import Estimate
from medistill.reporting import in_units

NOTHING = "-"
_TITLES = {
    "retrieval/i2t_r@10_unique": "R@10, unique reports",
    "retrieval/i2t_r@10": "R@10, image to report",
    "retrieval/t2i_r@10": "R@10, report to image",
    "zero_shot/auroc_macro": "AUROC, zero-shot",
    "few_shot/auroc_macro@16": "AUROC, 16 shots",
    "few_shot/auroc_macro@4": "AUROC, 4 shots",
}
"""As short as 80 columns ask for."""


def tables(results: Mapping[str, Any]) -> list[Table]:
    """Two a budget: the figures, each with its objectives below it, and what they cost."""
    return [make(results, budget) for budget in results["budgets"] for make in (figures_table, costs_table)]


def figures_table(results: Mapping[str, Any], budget: str) -> Table:
    """Means and differences, each with its interval over seeds; a failed objective has none."""
    baseline, by_label = results["settings"]["baseline"], results["budgets"][budget]
    headings = ("mean", "95 % over seeds", f"less {baseline}", "95 % over seeds")
    table = _table(f"At {TITLES[budget]}", headings)
    for name, title in _TITLES.items():
        known = {label: standing["metrics"].get(name) for label, standing in by_label.items()}
        if any(entry and entry["value"] is not None for entry in known.values()):
            table.add_row(title, style="bold")
            for label, standing in by_label.items():
                difference = standing["differences"].get(name)
                numbers = (*cells(known[label], "{:.3f}"), *cells(difference, "{:+.3f}"))
                table.add_row(f"  {label}", *(("failed",) if standing["failed"] else numbers))
    return table


def costs_table(results: Mapping[str, Any], budget: str) -> Table:
    """Epochs, speed and memory."""
    table = _table("", ("epochs", "pairs/s", "CPU ms a pair", "seconds", "peak memory"))
    for label, standing in results["budgets"][budget].items():
        costs = standing["costs"]
        if costs:
            names = ("pairs_per_second", "cpu_ms_per_pair", "seconds")
            numbers = (str(standing["epochs"]), *(number(costs[name]) for name in names))
            table.add_row(f"  {label}", *numbers, in_units(costs["peak_memory_bytes"]))
    return table


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def cells(entry: Estimate | None, shape: str) -> tuple[str, str]:
    """A value and its interval over seeds, a dash for what there is not."""
    if entry is None or entry["value"] is None:
        return NOTHING, NOTHING
    low, high = entry["low"], entry["high"]
    return shape.format(entry["value"]), NOTHING if low is None else f"{shape} {shape}".format(low, high)


def number(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
