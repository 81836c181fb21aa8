"""AUROC and average precision against scikit-learn and a loop over pairs."""

import numpy as np
import pytest
from sklearn import metrics

from medistill.evaluate.statistics.auroc import auroc, average_precision, roc_curve
from medistill.evaluate.statistics.interval import patient_weights


@pytest.fixture
def tied():
    """Scores of few distinct values, both classes, three cases a patient."""
    rng = np.random.default_rng(0)
    patients = [f"{i // 3:03d}" for i in range(90)]
    return rng.integers(0, 12, 90) / 12, rng.random(90) < 0.3, patient_weights(patients, 60, seed=0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(auroc, metrics.roc_auc_score), (average_precision, metrics.average_precision_score)],
)
def test_every_resample_equals_scikit_learn_with_sample_weights(tied, ours, theirs):
    scores, present, weights = tied
    expected = [theirs(present, scores, sample_weight=w) for w in weights.T]
    np.testing.assert_allclose(ours(scores, present, weights), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(auroc, metrics.roc_auc_score), (average_precision, metrics.average_precision_score)],
)
def test_random_cases_of_any_size_and_prevalence_equal_scikit_learns(ours, theirs, seed):
    rng = np.random.default_rng(seed)
    n, levels = int(rng.integers(2, 200)), int(rng.integers(1, 30))
    scores = (rng.integers(-levels, levels, n) / 7).astype(np.float32)
    present = rng.random(n) < rng.uniform(0.02, 0.98)
    present[:2] = True, False
    whole = np.ones((n, 1), np.float32)
    assert ours(scores, present, whole)[0] == pytest.approx(theirs(present, scores), abs=1e-12)


@pytest.mark.parametrize("statistic", [auroc, average_precision])
def test_a_resample_does_not_depend_on_how_many_others_there_are(tied, statistic):
    scores, present, weights = tied
    many = np.tile(weights, (1, 10))
    np.testing.assert_array_equal(
        statistic(scores, present, many), np.tile(statistic(scores, present, weights), 10)
    )


def test_auroc_equals_a_loop_over_pairs():
    rng = np.random.default_rng(1)
    scores, present = rng.integers(0, 5, 30).astype(float), np.arange(30) % 3 == 0
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[present] for n in scores[~present]]
    assert auroc(scores, present, np.ones((30, 1), np.float32))[0] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("statistic", [auroc, average_precision])
@pytest.mark.parametrize(
    "present", [np.ones(4, bool), np.zeros(4, bool), np.ones(1, bool), np.zeros(0, bool)]
)
def test_without_both_classes_it_is_not_defined(statistic, present):
    scores = np.arange(len(present), dtype=float)
    assert np.isnan(statistic(scores, present, np.ones((len(present), 2), np.float32))).all()


@pytest.mark.parametrize("statistic", [auroc, average_precision])
def test_a_resample_that_loses_a_class_is_not_defined(statistic):
    weights = np.array([[1, 0, 1], [1, 2, 0], [1, 1, 0]], np.float32)
    values = statistic(np.array([0.9, 0.1, 0.2]), np.array([True, False, False]), weights)
    assert values[0] == 1
    assert np.isnan(values[1:]).all()


def test_the_curve_holds_scikit_learns_corners_and_its_area(tied):
    scores, present, _ = tied
    false, true = roc_curve(scores, present)
    theirs = metrics.roc_curve(present, scores)
    np.testing.assert_allclose(np.interp(theirs[0], false, true)[[0, -1]], [theirs[1][0], 1])
    assert np.trapezoid(true, false) == pytest.approx(metrics.roc_auc_score(present, scores))
