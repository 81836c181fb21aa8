"""Means, differences and failures from cells that have ended."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from medistill.cli.compare import tables
from medistill.cli.terminal import console
from medistill.compare.cell import Cell, failure, write_result
from medistill.compare.page import page
from medistill.compare.results import SHOWN, cost_of_pair
from medistill.compare.run import final_cells, gather, settle_epochs
from medistill.compare.seeds import at_chance, distinct
from medistill.compare.tuning import settle, trial_cells
from medistill.compare.verdict import notes
from tests.compare.conftest import end, entry, tiny_comparison, trained
from tests.evaluate.pages.test_evaluation import Balanced
from tests.hostile import assert_escaped, hostile

TESTED = {"images": 500, "patients": 200}
ABOUT = {"sha256": "abc", "source": "phantom", "splits": {}, "tested": TESTED, "judged": None}
NAME = "retrieval/mean_r@10_unique"


def results_of(out, comparison, unique, **changes):
    """Results after cells that came to these recalls by label and seed; None is a failure."""
    tuned = settle(comparison, [], out)
    finals = {}
    for budget in comparison.budgets:
        epochs = settle_epochs(comparison, budget, [], out)["epochs"]
        finals[budget] = final_cells(comparison, tuned, epochs, budget)
        for label, cells in finals[budget].items():
            for cell, value in zip(cells, unique[label], strict=True):
                cell.folder(out).mkdir(parents=True, exist_ok=True)
                if value is None:
                    reason = f"training has collapsed at step {100 + cell.recipe.seed}"
                    write_result(cell.folder(out), failure(reason, retry=False))
                else:
                    end(cell, out, value, **changes)
    results = gather(comparison, ABOUT, tuned, finals, out)
    json.dumps(results, allow_nan=False)
    return results


FIVE = {"clip": [0.40, 0.42, 0.39, 0.44, 0.41], "msd": [0.50, 0.49, 0.51, 0.52, 0.50]}


def test_means_and_paired_differences_are_scipys(tmp_path):
    found = results_of(tmp_path, tiny_comparison(seeds=5), FIVE)["budgets"]["samples"]["msd"]
    mean, difference = found["metrics"][NAME], found["differences"][NAME]
    expected = stats.ttest_1samp(FIVE["msd"], 0).confidence_interval()
    assert (mean["value"], mean["low"], mean["high"]) == pytest.approx(
        (np.mean(FIVE["msd"]), expected.low, expected.high)
    )
    expected = stats.ttest_rel(FIVE["msd"], FIVE["clip"]).confidence_interval()
    assert (difference["low"], difference["high"]) == pytest.approx((expected.low, expected.high))
    assert difference["value"] == pytest.approx(0.092)
    assert (mean["n_seeds"], mean["n_images"], mean["n_patients"]) == (5, 400, 200)
    # The resamples of both lie about their values in the same way, so pairing leaves no width.
    assert difference["patient_high"] - difference["patient_low"] < 1e-6
    assert mean["patient_high"] - mean["patient_low"] > 0.02


def test_the_baseline_has_no_difference_to_itself(tmp_path):
    found = results_of(tmp_path, tiny_comparison(seeds=5), FIVE)["budgets"]["samples"]["clip"]
    assert found["differences"] == {}
    assert found["metrics"]


def test_an_objective_that_failed_in_a_seed_has_no_mean_and_no_difference(tmp_path):
    results = results_of(tmp_path, tiny_comparison(seeds=5), {**FIVE, "msd": [0.9, None, 0.9, 0.9, None]})
    found = results["budgets"]["samples"]["msd"]
    assert found["failed"] == {"seeds": [1, 4], "of": 5, "reasons": ["training has collapsed at step 101"]}
    assert found["metrics"] == {}
    assert found["differences"] == {}
    assert found["seeds"]["0"][NAME] == 0.9
    assert "msd failed (2 of 5 seeds: training has collapsed at step 101)" in results["verdict"][0]


def test_reasons_that_differ_in_figures_alone_are_one():
    reasons = ["recall@10 0.02, chance 0.026", "recall@10 0.024, chance 0.025", "the loss is nan at step 3"]
    assert distinct(reasons) == [reasons[0], reasons[2]]


def test_nothing_is_compared_with_a_baseline_that_failed(tmp_path):
    results = results_of(tmp_path, tiny_comparison(), {"clip": [None, 0.4], "msd": [0.5, 0.5]})
    assert results["budgets"]["samples"]["msd"]["differences"] == {}
    assert results["budgets"]["samples"]["msd"]["metrics"]
    assert "clip failed (1 of 2 seeds" in results["verdict"][0]


def test_recall_at_chance_after_training_is_a_failure(tmp_path):
    results = results_of(tmp_path, tiny_comparison(), {"clip": [0.4, 0.4], "msd": [0.5, 0.06]})
    assert results["budgets"]["samples"]["msd"]["failed"]["seeds"] == [1]
    assert "has collapsed" in results["verdict"][0]


@pytest.mark.parametrize(
    ("recall", "chance", "n", "collapsed"),
    [(0.05, 0.05, 400, True), (0.0, 0.05, 400, True), (0.08, 0.05, 400, False), (0.9, 0.9, 10, False)],
)
def test_chance_has_its_noise_and_too_few_studies_tell_nothing(recall, chance, n, collapsed):
    found = at_chance({"value": recall, "n_images": n}, entry(chance))
    assert bool(found) == collapsed


def test_one_seed_gives_no_interval_over_seeds_and_decides_nothing(tmp_path):
    results = results_of(tmp_path, tiny_comparison(seeds=1), {"clip": [0.4], "msd": [0.6]})
    found = results["budgets"]["samples"]["msd"]
    assert found["differences"][NAME]["value"] == pytest.approx(0.2)
    assert (found["differences"][NAME]["low"], found["metrics"][NAME]["high"]) == (None, None)
    assert "nothing is decided" in results["verdict"][0]
    assert any("one seed" in note for note in results["notes"])


def test_a_clear_lead_is_said_with_its_size_and_interval(tmp_path):
    results = results_of(tmp_path, tiny_comparison(seeds=5), FIVE)
    assert results["verdict"] == [
        "At equal samples, msd is ahead of clip by 9.2 points of recall@10 on unique reports "
        "(95 % interval over 5 seeds +6.8 to +11.6) and not told apart in 16-shot AUROC "
        "(+0.0 points, 95 % interval over 5 seeds +0.0 to +0.0)."
    ]


def test_a_lead_that_other_patients_might_not_bear_out_says_so(tmp_path):
    comparison = tiny_comparison(seeds=5)
    results_of(tmp_path, comparison, FIVE)
    cells = final_cells(comparison, settle(comparison, [], tmp_path), {"clip": 2, "msd": 2}, "samples")
    for cell, value in zip(cells["msd"], FIVE["msd"], strict=True):
        end(cell, tmp_path, value, spread=0.1)
    finals = {"samples": cells}
    sentence = gather(comparison, ABOUT, settle(comparison, [], tmp_path), finals, tmp_path)["verdict"][0]
    assert "ahead of clip by 9.2 points" in sentence
    assert "other patients may differ" in sentence


def test_seeds_that_disagree_decide_nothing(tmp_path):
    results = results_of(tmp_path, tiny_comparison(), {"clip": [0.4, 0.5], "msd": [0.5, 0.45]})
    assert results["verdict"][0].startswith("At equal samples, nothing is decided between msd and clip")


def test_seeds_that_differ_by_the_very_same_decide_nothing(tmp_path):
    results = results_of(tmp_path, tiny_comparison(), {"clip": [0.4, 0.5], "msd": [0.45, 0.55]})
    assert "nothing is decided between msd and clip" in results["verdict"][0]


def test_untuned_values_are_said_to_be_untuned(tmp_path):
    results = results_of(tmp_path, tiny_comparison(seeds=5), FIVE)
    assert any("Nothing was tuned" in note for note in results["notes"])


def test_the_cost_of_a_pair_is_the_processors_or_on_a_card_the_clocks():
    costs = [trained(cpu_ms_per_pair=c) for c in (1.0, 3.0, 9.0)]
    assert cost_of_pair([*costs, failure("x", retry=False)]) == 3.0
    assert cost_of_pair([trained(device="cuda", pairs_per_second=200.0)]) == 5.0
    assert cost_of_pair([failure("x", retry=False)]) is None


def test_equal_time_is_settled_once_from_the_cells_before(tmp_path):
    comparison = tiny_comparison(trials=1, budgets=("samples", "time"))
    cells = trial_cells(comparison)
    for cell in cells:
        cell.folder(tmp_path).mkdir(parents=True)
        slow = 8.0 if cell.label == "msd" else 4.0
        write_result(cell.folder(tmp_path), trained(cpu_ms_per_pair=slow))
    settled = settle_epochs(comparison, "time", cells, tmp_path)
    assert settled["epochs"] == {"clip": 2, "msd": 1}
    write_result(cells[1].folder(tmp_path), trained(cpu_ms_per_pair=1.0))
    assert settle_epochs(comparison, "time", cells, tmp_path) == settled


def test_what_a_reader_must_know_is_noted(tmp_path):
    results = results_of(tmp_path, tiny_comparison(), {"clip": [0.4, 0.5], "msd": [None, 0.5]})
    tuned = {"trials": [{"failed": "the loss is nan"}, {"failed": None}], "edge": "largest"}
    settings = {**results["settings"], "trials": 2, "objectives": dict.fromkeys(("clip", "msd", "moco"))}
    epochs = {
        "clip": {"epochs": 2, "failed": None, "costs": {}},
        "msd": {"epochs": 1, "failed": None, "costs": {}},
    }
    said = " ".join(
        notes(
            {
                **results,
                "settings": settings,
                "tuning": {"msd": tuned},
                "budgets": {**results["budgets"], "time": epochs},
                "cost_of_pair_ms": {"clip": 4.0, "msd": 6.0},
            }
        )
    )
    for part in (
        "msd: 1 of 2 tuning trials failed (the loss is nan)",
        "the largest learning rate of all",
        "clip 4, msd 6",
        "msd: whole epochs give it 75% of clip's time",
        "resident set",
        "A failed objective has no mean",
        "of 2 rivals",
    ):
        assert part in said


def test_budgets_that_ask_for_the_same_epochs_share_their_cells():
    recipe = tiny_comparison().recipe
    assert Cell(label="clip", recipe=recipe).name == Cell(label="clip", recipe=recipe).name


@pytest.mark.parametrize(
    "unique",
    [FIVE, {**FIVE, "msd": [None, 0.5, 0.5, 0.5, 0.5]}, {"clip": [None] * 5, "msd": [None] * 5}],
)
def test_page_and_tables_show_what_there_is(tmp_path, unique, capsys):
    results = results_of(tmp_path, tiny_comparison(seeds=5), unique)
    shown = page(results)
    Balanced(shown)
    assert not re.findall(r"https?://|<script|@import|url\(|<iframe|\bnan\b|None", shown)
    first = re.search(r'class="verdict">([^<]*)', shown)
    assert first[1] == results["verdict"][0]
    for table in tables(results):
        console.print(table)
    assert "nan" not in capsys.readouterr().err


def test_a_failed_objective_is_named_in_page_and_table(tmp_path, capsys):
    results = results_of(tmp_path, tiny_comparison(), {"clip": [0.4, 0.5], "msd": [None, 0.5]})
    assert "msd failed: 1 of 2 seeds: training has collapsed at step 100." in page(results)
    for table in tables(results):
        console.print(table)
    assert "failed" in capsys.readouterr().err


@pytest.mark.parametrize("msd", [[None, 0.5], [0.5, 0.5]])
def test_what_comes_from_outside_is_escaped(tmp_path, msd):
    results = results_of(tmp_path, tiny_comparison(), {"clip": [0.4, 0.5], "msd": msd})
    trial = {"failed": None, "recall": 0.5, "lr": 0.1, "scale": 10.0, "warmup": 0.1}
    results["settings"]["trials"] = 1
    for label in results["tuning"]:
        results["tuning"][label] = {"best": 0, "chosen": trial, "trials": [trial]}
    results["corpus"]["source"] = "a ward"
    figures = results["budgets"]["samples"]["msd"]["metrics"]
    figures["few_shot/auroc_macro@16"] = {"value": None, "low": None, "high": None, "reason": "too few"}
    changed = hostile(results, kept=("baseline",), names=("msd", "clip"))
    assert_escaped(page(changed), page(results))


def test_every_figure_of_table_and_page_is_one_of_evaluation(comparison):
    from tests.evaluate.test_evaluation import TASKS

    assert all(name.partition("/")[2] in TASKS[name.partition("/")[0]] for name in SHOWN)
