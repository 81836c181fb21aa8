"""Differences between two models and between two groups of cases."""

import numpy as np
import pytest

from medistill.errors import CallError
from medistill.evaluate.statistics.difference import (
    differences,
    group_difference,
    paired_difference,
)
from medistill.evaluate.statistics.interval import Figure, figure, mean_over, patients_of, undefined
from medistill.evaluate.statistics.resample import resampled

PATIENTS = [f"{i // 2:03d}" for i in range(200)]
RNG = np.random.default_rng(0)
HARD = RNG.standard_normal(200)
MODELS = [HARD + 0.2 * RNG.standard_normal(200) + gain for gain in (0.3, 0.0)]
SIDES = np.arange(200) % 2 == 0
"""Every patient has a case on each side."""


def mean_of(values, patients=PATIENTS, *, seed=0, resamples=400, cases=None, **counts):
    cases = np.ones(len(patients), bool) if cases is None else cases
    mine = patients_of(patients, cases)
    return resampled(
        lambda w: {"mean": figure(mean_over(values[cases], w[cases]), mine, **counts)},
        patients,
        resamples=resamples,
        seed=seed,
    )["mean"]


def width(entry):
    return entry["high"] - entry["low"]


def test_a_paired_difference_is_that_of_the_cases_own_differences():
    found = paired_difference(*map(mean_of, MODELS))
    alone = mean_of(MODELS[0] - MODELS[1])
    assert [found[part] for part in ("value", "low", "high")] == pytest.approx(
        [alone[part] for part in ("value", "low", "high")]
    )
    assert (found["n_images"], found["n_patients"]) == (200, 100)


def test_pairing_takes_out_what_both_models_find_hard():
    one, other = map(mean_of, MODELS)
    assert width(paired_difference(one, other)) < 0.4 * width(one)


def test_a_model_does_not_differ_from_itself():
    found = paired_difference(mean_of(HARD), mean_of(HARD))
    assert (found["value"], found["low"], found["high"]) == (0, 0, 0)


def test_what_the_figures_rest_on_goes_along_but_not_how_they_were_cut():
    one, other = (mean_of(model, n_findings=3) for model in MODELS)
    one["interval"] = other["interval"] = "log_odds"
    found = paired_difference(one, other)
    assert found["n_findings"] == 3
    assert "interval" not in found


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"resamples": 399}, {"patients": [f"p{i}" for i in PATIENTS]}]
)
def test_figures_resampled_differently_are_not_paired(other):
    with pytest.raises(CallError, match="resampled differently cannot be paired") as error:
        paired_difference(mean_of(MODELS[0]), mean_of(MODELS[1], **other))
    assert "\n" not in str(error.value)


def test_figures_of_different_cases_are_not_paired():
    for cases in (SIDES, np.arange(200) < 198):
        with pytest.raises(CallError, match="different cases cannot be paired"):
            paired_difference(mean_of(MODELS[0]), mean_of(MODELS[1], cases=cases))
    with pytest.raises(CallError, match="findings 2"):
        paired_difference(mean_of(HARD, n_findings=2), mean_of(HARD, n_findings=3))


def test_as_many_cases_of_other_patients_are_not_paired():
    early, late = np.arange(200) < 100, np.arange(200) >= 100
    with pytest.raises(CallError, match="different cases"):
        paired_difference(mean_of(HARD, cases=early), mean_of(HARD, cases=late))


def test_a_figure_without_its_resamples_is_refused():
    read = dict(mean_of(HARD))
    for difference in (paired_difference, group_difference):
        with pytest.raises(CallError, match="read from a file"):
            difference(read, mean_of(HARD))
    with pytest.raises(CallError, match="does not know its resampling"):
        paired_difference(figure(HARD, PATIENTS), figure(HARD, PATIENTS))


def test_a_difference_to_what_is_not_defined_is_not_defined():
    nothing = undefined("no positive case", PATIENTS)
    found = paired_difference(mean_of(HARD), nothing)
    assert found["value"] is None
    assert found["reason"] == "not defined for the second: no positive case"
    assert found["n_images"] == 200
    assert group_difference(nothing, mean_of(HARD))["reason"].startswith("not defined for the first")


def test_groups_of_the_same_patients_are_subtracted_resample_by_resample():
    one, other = (mean_of(HARD, cases=cases) for cases in (SIDES, ~SIDES))
    found = group_difference(one, other)
    np.testing.assert_array_equal(found.spread, one.spread - other.spread)
    assert (found["n_images"], found["n_patients"]) == (200, 100)


def test_the_interval_between_groups_evaluated_apart_is_that_of_independent_means():
    patients = [f"{i:03d}" for i in range(100)]
    first, second = RNG.standard_normal(100), RNG.standard_normal(100)
    one = mean_of(first, patients, resamples=4000)
    other = mean_of(second, [f"other {p}" for p in patients], resamples=5000)
    found = group_difference(one, other)
    error = 1.96 * np.sqrt((first.var() + second.var()) / 100)
    assert found["value"] == pytest.approx(first.mean() - second.mean())
    assert width(found) == pytest.approx(2 * error, rel=0.06)
    assert found["n_patients"] == 200


def test_groups_drawn_from_one_seed_are_still_independent():
    """In the same order they share each resample's places: without mixing, the difference has no width."""
    patients = [f"{i:03d}" for i in range(100)]
    twin = [f"other {p}" for p in patients]
    found = group_difference(mean_of(HARD[:100], patients), mean_of(HARD[:100], twin))
    assert width(found) == pytest.approx(2 * 1.96 * np.sqrt(2 * HARD[:100].var() / 100), rel=0.15)


def test_groups_evaluated_apart_that_share_a_patient_are_refused():
    with pytest.raises(CallError, match="100 patients have cases in both groups"):
        group_difference(mean_of(HARD), mean_of(HARD, seed=1))


def test_differences_are_of_the_figures_that_both_hold():
    one, other = {"a": mean_of(HARD), "b": mean_of(HARD)}, {"b": mean_of(HARD), "c": mean_of(HARD)}
    found = differences(one, other, paired_difference)
    assert set(found) == {"b"}
    assert isinstance(found["b"], Figure)
