"""Tune every objective, train the final seeds under each budget, and report."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medistill import __version__
from medistill.compare.cell import Cell, read_result, write_json
from medistill.compare.command import command
from medistill.compare.comparison import BUDGETS, TITLES, Comparison, Cost, claim_settings
from medistill.compare.entrant import make_entrants, read_settings
from medistill.compare.page import page
from medistill.compare.pool import OnShares, Pool
from medistill.compare.results import Results, cost_of_pair, standings
from medistill.compare.seeds import distinct, read_seeds
from medistill.compare.tested import about_tested, judged_findings
from medistill.compare.tuning import Tuned, final_recipe, settle, trial_cells
from medistill.compare.verdict import notes, verdict
from medistill.data.corpus import Corpus, open_corpus, training_rows
from medistill.data.folds import in_fold
from medistill.engine.plan.plan import make_plan, with_micro_batch
from medistill.errors import CallError
from medistill.pretrain import check_fits
from medistill.recipe import Recipe
from medistill.system.atomic import write_atomically
from medistill.system.device import chosen_device, the_only_device
from medistill.system.json_files import read_json
from medistill.system.locks import being_trained, locked
from medistill.system.memory import parse_memory
from medistill.system.private import private_files
from medistill.system.stop import stop_requests

log = logging.getLogger(__name__)
RESULTS, PAGE = "results.json", "page.html"
EPOCHS, MICRO_BATCHES = "epochs.json", "micro_batches.json"
"""Measured once, and kept so that a comparison that was stopped goes on with the same."""


def make_comparison(
    recipe: Recipe,
    objectives: Sequence[str],
    *,
    settings: Path | None,
    baseline: str,
    seeds: int,
    trials: int,
    budgets: Sequence[str],
    memory: str = "",
    min_positives: int = 0,
) -> Comparison:
    """From what a user gives; CallError for what cannot be."""
    entrants = make_entrants(recipe, objectives, read_settings(settings) if settings else {})
    return Comparison(
        recipe=recipe,
        entrants=entrants,
        baseline=baseline,
        seeds=seeds,
        trials=trials,
        budgets=tuple(budgets),
        memory=parse_memory(memory) if memory else 0,
        min_positives=min_positives,
    )


@private_files()
def compare(
    comparison: Comparison, data: Path, out: Path, *, jobs: int, on_shares: OnShares, device: str = "auto"
) -> Results:
    """Run what is missing of the comparison in `out`; writes and returns results.json, and page.html.

    device   where all are trained and evaluated, as `chosen_device` takes it
    """
    if jobs < 1:
        raise CallError(f"--jobs is {jobs}; at least 1 is needed")
    chosen_device(device)
    corpus = in_fold(open_corpus(data), fold=0, folds=comparison.recipe.folds)
    _check_corpus(comparison, corpus)
    claim_settings(comparison, corpus.card["sha256"], out)
    out.mkdir(parents=True, exist_ok=True)
    with the_only_device(device), locked(out, being_trained(out)), stop_requests() as stopping:
        comparison = at_equal_memory(comparison, out)
        pool = Pool(out, data, jobs, stopping, comparison.min_positives)
        trials = trial_cells(comparison)
        pool.run(trials, partial(on_shares, "tuning"))
        tuned = settle(comparison, trials, out)
        finals: dict[str, dict[str, list[Cell] | str]] = {}
        for budget in (name for name in BUDGETS if name in comparison.budgets):
            at_samples = [cell for cells in finals.get("samples", {}).values() for cell in _cells(cells)]
            epochs = settle_epochs(comparison, budget, [*trials, *at_samples], out)
            finals[budget] = final_cells(comparison, tuned, epochs["epochs"], budget)
            by_seed = zip(*(_cells(cells) for cells in finals[budget].values() if _cells(cells)), strict=True)
            cells = [cell for same_seed in by_seed for cell in same_seed]
            pool.run(cells, partial(on_shares, TITLES[budget]))
        results = gather(comparison, about_tested(corpus, comparison.min_positives), tuned, finals, out)
        write_json(out / RESULTS, results)
        write_atomically(out / PAGE, page(results))
    return results


def final_cells(
    comparison: Comparison, tuned: Tuned, epochs: Mapping[str, int | None], budget: str
) -> dict[str, list[Cell] | str]:
    """By label: a cell a seed, or the reason why there can be none; of folds seed k is tested on fold k."""
    cells: dict[str, list[Cell] | str] = {}
    for entrant in comparison.entrants_of(budget):
        recipe, length = final_recipe(entrant, tuned), epochs[entrant.label]
        if recipe is None:
            reasons = distinct(trial["failed"] for trial in tuned[entrant.label]["trials"])
            cells[entrant.label] = f"every tuning trial failed: {'; '.join(reasons)}"
        elif length is None:
            cells[entrant.label] = (
                "its speed or the baseline's is not known, since no cell of it came to an end"
            )
        else:
            timed = dataclasses.replace(recipe, epochs=length)
            seeded = (
                dataclasses.replace(timed, seed=seed, fold=seed % max(recipe.folds, 1))
                for seed in range(comparison.seeds)
            )
            cells[entrant.label] = [Cell(label=entrant.label, recipe=one) for one in seeded]
    return cells


def settle_epochs(comparison: Comparison, budget: str, known: Sequence[Cell], out: Path) -> dict[str, Any]:
    """Epochs by label under a budget, from the cost of a pair in the cells so far; written once."""
    path = out / EPOCHS
    settled: dict[str, Any] = read_json(path) if path.is_file() else {}
    if budget not in settled:
        entrants = comparison.entrants_of(budget)
        costs = {entrant.label: _cost(entrant.label, known, out) for entrant in entrants}
        base = costs[comparison.baseline]
        lengths = {
            label: BUDGETS[budget](comparison.recipe.epochs, cost, base) for label, cost in costs.items()
        }
        settled[budget] = {"epochs": lengths, "cost_of_pair_ms": costs}
        write_json(path, settled)
    return settled[budget]


def gather(
    comparison: Comparison,
    about: Mapping[str, Any],
    tuned: Tuned,
    finals: dict[str, dict[str, list[Cell] | str]],
    out: Path,
) -> Results:
    """Everything results.json holds, from the cells on disk; `about` is the corpus's `about_tested`."""
    epochs: dict[str, Any] = read_json(out / EPOCHS)
    budgets: dict[str, Any] = {}
    for budget, by_label in finals.items():
        seeds = {
            label: cells if isinstance(cells, str) else read_seeds(cells, out)
            for label, cells in by_label.items()
        }
        budgets[budget] = {
            label: {"epochs": epochs[budget]["epochs"][label], **standing}
            for label, standing in standings(seeds, comparison.baseline).items()
        }
    results = {
        "verdict": verdict(comparison, budgets),
        "medistill": __version__,
        "command": command(comparison),
        "settings": comparison.settings(about["sha256"]),
        "corpus": {name: value for name, value in about.items() if name != "sha256"},
        "tuning": tuned,
        "cost_of_pair_ms": epochs[list(finals)[-1]]["cost_of_pair_ms"],
        "budgets": budgets,
    }
    return {**results, "notes": notes(results)}


def _check_corpus(comparison: Comparison, corpus: Corpus) -> None:
    """What would make every cell fail is said before the first one."""
    rows, validation = training_rows(corpus)
    for entrant in comparison.entrants:
        check_fits(entrant.recipe, rows, validation)
    if "test" not in corpus.splits or not len(corpus.split("test")):
        raise CallError("the corpus has no test split to compare on; prepare it with a larger --test")
    if judged_findings(corpus, comparison.min_positives) == {}:
        raise CallError(
            f"no finding is shown by {comparison.min_positives} of the studies to test on; "
            "lower --min-positives"
        )


def _cells(cells: list[Cell] | str) -> list[Cell]:
    return [] if isinstance(cells, str) else cells


def _cost(label: str, cells: Sequence[Cell], out: Path) -> Cost | None:
    results = [read_result(cell, out) for cell in cells if cell.label == label]
    return cost_of_pair([result for result in results if result])


def at_equal_memory(comparison: Comparison, out: Path) -> Comparison:
    """The comparison with the micro-batches that its memory allows; measured once and kept in `out`.

    An objective without a teacher has room for more pairs. The pairs of an optimizer step stay as near as
    can be. MedistillError if not one pair fits.
    """
    if not comparison.memory:
        return comparison
    path = out / MICRO_BATCHES
    if not path.is_file():
        log.info("measuring which micro-batches fit into memory")
        measured = {
            e.label: make_plan(e.recipe, memory=comparison.memory).largest for e in comparison.entrants
        }
        write_json(path, measured)
    sizes: dict[str, int] = read_json(path)
    entrants = (
        dataclasses.replace(e, recipe=with_micro_batch(e.recipe, sizes[e.label])) for e in comparison.entrants
    )
    return dataclasses.replace(comparison, entrants=tuple(entrants))
