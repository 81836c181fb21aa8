"""Probabilities, thresholds and their error."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score

from medistill.evaluate.statistics.calibrate import (
    best_f1_threshold,
    bin_sums,
    fit_calibration,
    uncalibrated,
)


def drawn(slope=6.0, n=4000):
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((n, 2)) * 0.3
    labels = (rng.random((n, 2)) < expit(slope * scores + np.array([-1.0, 0.5]))).astype(float)
    labels[rng.random((n, 2)) < 0.1] = np.nan
    labels[rng.random((n, 2)) < 0.1] = -1
    return scores, labels


def test_the_fit_finds_the_slope_and_biases_the_labels_were_drawn_with():
    fitted = fit_calibration(*drawn())
    assert fitted.slope == pytest.approx(6, rel=0.1)
    np.testing.assert_allclose(fitted.bias, [-1, 0.5], atol=0.15)
    assert "validation" in fitted.origin


def test_the_fit_keeps_the_order_of_scores_even_where_they_mislead():
    scores, labels = drawn(slope=-6.0)
    assert fit_calibration(scores, labels).slope >= 0


def test_a_finding_without_labels_gets_a_threshold_of_one_half():
    scores, labels = drawn(n=50)
    labels[:, 1] = np.nan
    fitted = fit_calibration(scores, labels)
    assert fitted.threshold[1] == 0.5
    assert np.isfinite(fitted.bias).all()


def test_the_threshold_has_the_best_f1_of_all():
    rng = np.random.default_rng(1)
    present = (rng.random(80) < 0.3).astype(float)
    probability = np.round(np.clip(0.3 * present + rng.random(80) * 0.7, 0, 1), 2)
    cut = best_f1_threshold(probability, present)
    best = max(f1_score(present, probability >= c) for c in np.linspace(0, 1, 101))
    assert f1_score(present, probability >= cut) == pytest.approx(best)


def test_without_validation_the_models_scale_is_the_slope():
    plain = uncalibrated(20.0, 2)
    np.testing.assert_allclose(plain.probability(np.array([[0.1, -0.1]])), expit([[2.0, -2.0]]))
    assert "not fitted" in plain.origin


def test_bins_hold_each_labeled_pair_once_the_ends_included():
    probability = np.array([[0.0, 1.0], [0.5, 0.999]])
    sums = bin_sums(probability, np.array([[0.0, 1.0], [np.nan, 1.0]]), bins=10)
    assert sums[0].sum() == 3
    assert sums[0, -1].sum() == 2
    assert sums[2].sum() == 2
