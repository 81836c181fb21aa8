"""Intervals against scipy and against many repetitions of the experiment."""

import numpy as np
import pytest
from scipy import stats

from medistill.compare.seeds import patient_interval, t_interval
from medistill.evaluate.statistics.interval import figure, mean_over, patient_weights


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_interval_over_seeds_is_scipys(n):
    values = normals(n)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert t_interval(list(values)) == pytest.approx((expected.low, expected.high))


def test_the_paired_interval_is_scipys():
    values, others = normals(5), normals(5, seed=1) - 2
    expected = stats.ttest_rel(values, others).confidence_interval(0.95)
    assert t_interval(list(values - others)) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_interval():
    assert t_interval([0.7]) is None


def test_seeds_that_agree_have_an_interval_of_no_width():
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_the_paired_interval_of_five_seeds_covers_the_truth_95_times_in_100():
    """Seeds share much of their luck, as two objectives on one seed do; 4,000 experiments."""
    shared, own = 3 * normals(4000, 5), normals(4000, 2, 5, seed=1)
    hits = 0
    for luck, (first, second) in zip(shared, own, strict=True):
        low, high = t_interval(list((luck + first + 1.0) - (luck + second)))
        hits += low <= 1.0 <= high
    noise = 3 * (0.95 * 0.05 / 4000) ** 0.5
    assert hits / 4000 == pytest.approx(0.95, abs=noise)


def test_a_percentile_bootstrap_of_five_seeds_covers_84_times_in_100():
    """Why the interval is Student's."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 5, (1000, 5))
    means = normals(1500, 5)[:, drawn].mean(axis=2)
    low, high = np.percentile(means, [2.5, 97.5], axis=1)
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.84, abs=0.03)


def test_the_interval_over_patients_of_one_model_is_that_of_its_evaluation():
    values, patients = normals(200), [f"{i // 4:03d}" for i in range(200)]
    resampled = mean_over(values, patient_weights(patients, 500, seed=0))
    entry = figure(resampled, patients)
    assert patient_interval(resampled[None, 1:]) == pytest.approx((entry["low"], entry["high"]))


def test_pairing_by_patient_takes_out_what_both_models_find_hard():
    hard, patients = 3 * normals(200), [f"{i:03d}" for i in range(200)]
    weights = patient_weights(patients, 500, seed=0)
    first, second = (mean_over(hard + 0.1 * normals(200, seed=s), weights)[None, 1:] for s in (1, 2))
    paired, alone = patient_interval(first - second), patient_interval(first)
    assert paired[1] - paired[0] < 0.1 * (alone[1] - alone[0])


def test_resamples_that_define_nothing_are_left_out():
    assert patient_interval(np.array([[0.5, np.nan], [0.7, 0.1]])) == pytest.approx((0.6, 0.6))
    assert patient_interval(np.full((2, 3), np.nan)) is None
