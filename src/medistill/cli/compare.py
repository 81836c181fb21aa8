"""`medistill compare`: its flags, its bars and its table."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from medistill.cli.terminal import bars, console, print_json, say
from medistill.compare.cell import Cell
from medistill.compare.comparison import TITLES, Comparison
from medistill.compare.pool import OnShares
from medistill.compare.tuning import trial_cells
from medistill.html.words import NOTHING, in_units, number
from medistill.system.private import files_for

_TITLES = {
    "retrieval/mean_r@10_unique": "R@10, unique, mean",
    "retrieval/i2t_r@10_unique": "R@10, unique reports",
    "retrieval/i2t_r@10": "R@10, image to report",
    "retrieval/t2i_r@10": "R@10, report to image",
    "zero_shot/auroc_macro": "AUROC, zero-shot",
    "few_shot/auroc_macro@16": "AUROC, 16 shots",
    "few_shot/auroc_macro@4": "AUROC, 4 shots",
    "few_shot/auroc_macro@100%": "AUROC, all shots",
}
"""As short as 80 columns ask for."""


def compare(
    recipe: Any,
    *,
    data: Path,
    objectives: tuple[str, ...],
    out: Path,
    seeds: int = 5,
    trials: int = 6,
    baseline: str = "clip",
    budgets: tuple[str, ...] = ("samples", "time"),
    memory: str = "",
    min_positives: int = 0,
    settings: Path | None = None,
    jobs: int = 1,
    device: str = "auto",
    group_readable: bool = False,
    json: bool = False,
) -> None:
    """Objectives against each other, tuned alike, over seeds: a table, results.json and page.html.

    Example: medistill compare small --data corpus --objectives clip msd --out comparison

    Args:
        recipe: What all objectives train; any field of the ready recipe is overridden by its flag.
        data: Corpus folder written by `medistill prepare`.
        objectives: Objectives, or labels of your own that --settings explains.
        out: Folder of the comparison; one that was stopped goes on where it was.
        seeds: Training runs of each objective for the final figures.
        trials: Tuning trials of each objective; 0 takes the recipe's learning rate, scale and warm-up.
        baseline: The objective the others are compared with.
        budgets: What is equal for all: `samples` (epochs) or `time` (that the baseline needs).
        memory: Bytes each may take, such as 11GB: its micro-batch becomes the largest that fits.
        min_positives: Means are over findings that so many tested studies show, none of them normal; 0: all.
        settings: JSON file of recipe fields for some: {"gradcache-16": {"objective": "gradcache", ...}}, and
            of "budgets": ["samples"] for one that takes part in those alone.
        jobs: Training runs at once, each on its share of the cores.
        device: Where all are trained and evaluated: auto (the first card, else the CPU), cpu, cuda or cuda:N.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        json: Print results.json on standard output.
    """
    from medistill.compare.run import compare as run
    from medistill.compare.run import make_comparison

    given: dict[str, Any] = {"settings": settings, "baseline": baseline, "budgets": budgets, "memory": memory}
    given |= {"seeds": seeds, "trials": trials, "min_positives": min_positives}
    comparison = make_comparison(recipe, objectives, **given)
    with files_for(group=group_readable), cells_bar(comparison) as on_shares:
        results = run(comparison, data, out, jobs=jobs, on_shares=on_shares, device=device)
    if json:
        print_json(results)
    for table in tables(results):
        console.print(table)
    for line in (*results["notes"], *results["verdict"], f"page: {out / 'page.html'}"):
        say(line)


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


def cells(entry: Mapping[str, Any] | None, shape: str) -> tuple[str, str]:
    """A value and its interval over seeds, a dash for what there is not."""
    if entry is None or entry["value"] is None:
        return NOTHING, NOTHING
    low, high = entry["low"], entry["high"]
    return shape.format(entry["value"]), NOTHING if low is None else f"{shape} {shape}".format(low, high)


@contextmanager
def cells_bar(comparison: Comparison) -> Generator[OnShares]:
    """A bar over the epochs of all cells; equal time is taken for as long as equal samples at first."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% "),
        TimeRemainingColumn(),
    )
    # An hour's pace: cells write their share every few seconds, and objectives differ in speed.
    with bars(*columns, speed_estimate_period=3600.0) as progress:
        task = progress.add_task("tuning", total=1.0)
        expected, done = expected_epochs(comparison), dict[str, float]()

        def on_shares(phase: str, shares: Mapping[Cell, float], /) -> None:
            progress.start()
            started = phase in done
            expected[phase] = sum(cell.recipe.epochs for cell in shares)
            done[phase] = sum(cell.recipe.epochs * share for cell, share in shares.items())
            if not started:  # what an earlier run did of this phase tells nothing of the pace
                progress.reset(task, completed=int(sum(done.values())))
            progress.update(
                task,
                description=f"{phase}: {sum(s >= 1 for s in shares.values())} of {len(shares)} cells",
                completed=sum(done.values()),
                total=sum(expected.values()),
            )

        yield on_shares


def expected_epochs(comparison: Comparison) -> dict[str, int]:
    """Epochs of each phase, as far as they are known before it starts."""
    final = comparison.seeds * comparison.recipe.epochs
    tuning = sum(cell.recipe.epochs for cell in trial_cells(comparison))
    there = {TITLES[budget]: len(comparison.entrants_of(budget)) for budget in comparison.budgets}
    return {"tuning": tuning, **{title: final * count for title, count in there.items()}}
