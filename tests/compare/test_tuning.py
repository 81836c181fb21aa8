"""The same draws for all, judged on validation, chosen once."""

import numpy as np
import pytest

from medistill.compare.cell import failure, write_result
from medistill.compare.comparison import TUNING_SEED
from medistill.compare.tuning import (
    RATE_SPAN,
    SCALES,
    WARMUPS,
    draws,
    final_recipe,
    settle,
    trial_cells,
    with_draw,
)
from tests.compare.conftest import tiny_comparison, trained
from tests.conftest import tiny_recipe


def test_the_first_trial_is_the_recipe_itself():
    assert draws(6)[0] is None
    assert with_draw(tiny_recipe(), None) == tiny_recipe()


def test_draws_are_the_same_each_time_and_cover_their_ranges_evenly():
    assert draws(9) == draws(9)
    drawn = np.array(draws(9)[1:])
    lows, highs = np.array([(1 / RATE_SPAN, RATE_SPAN), SCALES, WARMUPS]).T
    assert ((drawn >= lows) & (drawn <= highs)).all()
    rate = np.log(drawn[:, 0] / lows[0]) / np.log(highs[0] / lows[0])
    np.testing.assert_array_equal(np.sort((rate * 8).astype(int)), np.arange(8))


@pytest.mark.parametrize(("trials", "count"), [(0, 0), (1, 1), (2, 2), (6, 6)])
def test_there_are_as_many_draws_as_trials(trials, count):
    assert len(draws(trials)) == count


def test_every_objective_gets_the_same_trials_on_a_tuning_seed():
    comparison = tiny_comparison(trials=4, settings={"msd": {"lr": 0.01}})
    by_label = {
        label: [c.recipe for c in trial_cells(comparison) if c.label == label] for label in ("clip", "msd")
    }
    for clip, msd in zip(*by_label.values(), strict=True):
        assert clip.lr / 1e-3 == pytest.approx(msd.lr / 0.01)
        assert (clip.scale, clip.warmup) == (msd.scale, msd.warmup)
        assert clip.seed == msd.seed == TUNING_SEED >= comparison.seeds


def settled(out, recalls, **changes):
    """The choice after trials that came to these recalls; None is a failure."""
    comparison = tiny_comparison(labels=("clip",), trials=len(recalls), **changes)
    cells = trial_cells(comparison)
    for cell, recall in zip(cells, recalls, strict=True):
        cell.folder(out).mkdir(parents=True)
        result = failure("the loss is nan", retry=False) if recall is None else trained(recall)
        write_result(cell.folder(out), result)
    return comparison, cells, settle(comparison, cells, out)


def test_the_best_validation_is_chosen(tmp_path):
    comparison, cells, tuned = settled(tmp_path, [0.2, 0.4, None, 0.3])
    assert tuned["clip"]["best"] == 1
    chosen = final_recipe(comparison.entrants[0], tuned)
    assert (chosen.lr, chosen.scale, chosen.warmup) == (
        cells[1].recipe.lr,
        cells[1].recipe.scale,
        cells[1].recipe.warmup,
    )
    assert chosen.seed == 0


def test_the_edge_of_the_learning_rates_is_named(tmp_path):
    rates = [cell.recipe.lr for cell in trial_cells(tiny_comparison(labels=("clip",), trials=4))]
    for place, (rank, edge) in enumerate([(0, "smallest"), (-1, "largest"), (1, None)]):
        best = rates.index(sorted(rates)[rank])
        recalls = [0.4 if trial == best else 0.1 for trial in range(4)]
        assert settled(tmp_path / str(place), recalls)[2]["clip"]["edge"] == edge


def test_a_choice_is_made_once(tmp_path):
    comparison, cells, tuned = settled(tmp_path, [0.2, 0.4])
    write_result(cells[0].folder(tmp_path), trained(0.9))
    assert settle(comparison, cells, tmp_path) == tuned


def test_an_objective_whose_trials_all_failed_has_no_choice(tmp_path):
    comparison, _, tuned = settled(tmp_path, [None, None])
    assert final_recipe(comparison.entrants[0], tuned) is None


def test_without_trials_the_recipes_values_stand(tmp_path):
    comparison = tiny_comparison()
    assert trial_cells(comparison) == []
    tuned = settle(comparison, [], tmp_path)
    assert final_recipe(comparison.entrant("msd"), tuned) == comparison.entrant("msd").recipe


def test_equal_time_alone_without_trials_still_measures_the_speeds():
    assert len(trial_cells(tiny_comparison(budgets=("time",)))) == 2
