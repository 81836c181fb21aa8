"""Bootstrap intervals over patients."""

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import bootstrap

from medistill.evaluate.statistics.interval import (
    TOO_FEW,
    Ranked,
    figure,
    log_odds,
    mean_defined,
    mean_over,
    median_over,
    patient_weights,
    share_figure,
)


@pytest.mark.parametrize(("ours", "numpys"), [(mean_over, np.mean), (median_over, np.median)])
def test_the_interval_equals_scipys_where_every_patient_has_one_case(ours, numpys):
    values = np.random.default_rng(1).standard_normal(60)
    weights = patient_weights([f"{i:03d}" for i in range(60)], 500, seed=5)
    entry = figure(ours(values, weights), [str(i) for i in range(60)])
    theirs = bootstrap(
        (values,), numpys, n_resamples=500, method="percentile", rng=np.random.default_rng([5])
    )
    assert entry["value"] == pytest.approx(numpys(values))
    assert (entry["low"], entry["high"]) == pytest.approx(tuple(theirs.confidence_interval))


def test_a_patients_cases_are_drawn_together():
    weights = patient_weights(["b", "a", "b", "c"], 200, seed=0)
    np.testing.assert_array_equal(weights[0], weights[2])
    assert (weights[:, 0] == 1).all()
    np.testing.assert_array_equal(weights[[0, 1, 3]].sum(axis=0), 3)


def test_without_resamples_only_the_sample_itself_is_weighed():
    np.testing.assert_array_equal(patient_weights(["b", "a", "b"], 0, seed=0), np.ones((3, 1)))


def test_clustered_intervals_are_wider_than_those_of_independent_cases():
    values = np.repeat(np.random.default_rng(2).standard_normal(50), 4)
    patients = [f"{i // 4:03d}" for i in range(200)]
    clustered = figure(mean_over(values, patient_weights(patients, 1000, seed=0)), patients)
    alone = [f"{i:03d}" for i in range(200)]
    single = figure(mean_over(values, patient_weights(alone, 1000, seed=0)), alone)
    assert clustered["high"] - clustered["low"] > 1.7 * (single["high"] - single["low"])
    assert clustered["n_patients"] == 50
    assert clustered["n_images"] == 200


def test_the_median_of_a_resample_equals_numpys_of_its_repeated_cases():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9, 25).astype(float)
    weights = patient_weights([f"{i // 2:03d}" for i in range(25)], 40, seed=1)
    expected = [np.median(np.repeat(values, w.astype(int))) for w in weights.T]
    np.testing.assert_allclose(median_over(values, weights), expected)


def test_a_figure_that_is_not_defined_is_none_with_a_reason():
    entry = figure(np.array([np.nan, 0.5]), ["a"], reason="no case")
    assert entry == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "no case",
        "n_images": 1,
        "n_patients": 1,
    }


def test_log_odds_are_spread_by_their_standard_deviation_on_both_sides():
    spread = np.random.default_rng(4).beta(18, 2, 1000)
    low, high = log_odds(0.9, np.append(spread, np.nan))
    half = 1.959964 * logit(spread).std()
    assert (logit(low), logit(high)) == pytest.approx((logit(0.9) - half, logit(0.9) + half))


def test_a_resample_at_the_end_counts_as_the_most_extreme_other_one():
    spread = np.array([0.7, 0.8, 0.9, 1.0, 0.0])
    assert log_odds(0.8, spread) == log_odds(0.8, np.array([0.7, 0.8, 0.9, 0.9, 0.7]))


def test_a_value_at_the_end_has_the_percentiles_of_its_resamples():
    assert log_odds(1.0, np.ones(9)) == (1, 1)
    assert log_odds(1.0, np.array([1.0, 0.5])) == pytest.approx((0.5125, 0.9875))
    assert np.isnan(log_odds(0.5, np.array([np.nan]))).all()


def test_the_interval_of_a_figure_is_named_unless_it_is_of_percentiles():
    values = np.array([0.5, 0.4, 0.6])
    assert figure(values, ["a"], interval=log_odds)["interval"] == "log_odds"
    assert "interval" not in figure(values, ["a"])


def test_resamples_without_the_figure_are_left_out_of_its_interval():
    entry = figure(np.array([0.5, np.nan, 0.5, np.nan]), list("abcdefghij"))
    assert (entry["low"], entry["high"]) == (0.5, 0.5)


def test_the_macro_mean_leaves_out_what_is_not_defined():
    np.testing.assert_allclose(mean_defined(np.array([[1.0, np.nan], [0.5, 0.25]])), [0.75, 0.25])


def ranked_figure(present: int, absent: int, images: int = 1):
    """The AUROC of a faultless model on so many patients of each side, several images each."""
    patients = [f"p{number}" for number in range(present + absent) for _ in range(images)]
    truth = np.repeat(np.arange(present + absent) < present, images)
    return figure(np.ones(50), patients, interval=log_odds, ranked=Ranked(truth.astype(float), truth))


@pytest.mark.parametrize(("present", "absent"), [(2, 2), (9, 100), (100, 9), (1, 1)])
def test_fewer_than_ten_patients_on_a_side_give_no_interval_and_the_reason(present, absent):
    entry = ranked_figure(present, absent, images=3)
    assert (entry["value"], entry["low"], entry["high"]) == (1.0, None, None)
    assert entry["reason"] == (
        f"{TOO_FEW}: {present} patients with the finding and {absent} without, 10 are needed"
    )


def test_ten_patients_on_each_side_give_an_interval():
    entry = ranked_figure(10, 10)
    assert (entry["low"], entry["high"]) == (1.0, 1.0)
    assert "reason" not in entry


@pytest.mark.parametrize("patients", [1, 4, 9, 10])
def test_a_figure_of_one_group_needs_ten_patients_however_many_images(patients):
    ids = [f"p{number % patients}" for number in range(40)]
    assert (figure(np.ones(50), ids)["low"] is None) == (patients < 10)


def test_a_share_keeps_its_bound_however_few_patients():
    entry = share_figure(np.ones(50), list("abcd"), reason="empty")
    assert entry["low"] == pytest.approx(0.025 ** (1 / 4))
