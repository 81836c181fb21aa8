"""The linear probe against scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import check_estimator

from medistill.evaluate.probes.linear_probe import (
    LinearProbe,
    logistic_weights,
    logistic_weights_of_many,
)

CHECKED_HERE = {"check_do_not_raise_errors_in_init_or_set_params": "signatures are checked under test"}


def examples(n=24, d=10, seed=0, classes=2, gap=0.7):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.standard_normal((n, d)) + rng.standard_normal((classes, d))[y] * gap, y


def theirs(x, y, c, kept=None):
    found = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x, y, sample_weight=kept)
    return np.array([*found.coef_[0], *found.intercept_])


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_the_weights_equal_scikit_learns(c):
    x, y = examples()
    theta = logistic_weights(x, (y == 1)[None], np.ones((1, 24)), np.array([c]))[0]
    np.testing.assert_allclose(theta, theirs(x, y, c), atol=1e-4)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_many_examples_give_scikit_learns_weights_for_every_fit_at_once(c):
    x, y = examples(n=400, seed=1)
    kept = (np.arange(400) % 3 != np.arange(3)[:, None]).astype(float)
    start = np.random.default_rng(0).standard_normal((3, 11))
    found = logistic_weights_of_many(x, np.tile(y == 1, (3, 1)), kept, c, start, 1e-14)
    for theta, weight in zip(found, kept, strict=True):
        np.testing.assert_allclose(theta, theirs(x, y, c, weight), atol=1e-3)


def test_examples_left_out_of_a_fold_do_not_move_its_weights():
    x, y = examples()
    kept = (np.arange(24) < 16).astype(float)[None]
    alone = logistic_weights(x[:16], (y[:16] == 1)[None], np.ones((1, 16)), np.ones(1))
    np.testing.assert_allclose(logistic_weights(x, (y == 1)[None], kept, np.ones(1)), alone, atol=1e-8)


@pytest.mark.parametrize("n", [12, 300])
def test_more_and_fewer_dimensions_than_examples_give_scikit_learns_answer(n):
    x, y = examples(n=n, d=40)
    probe = LinearProbe(cs=(1.0,)).fit(x, y)
    scaled = (x - probe.mean_) / probe.length_
    found = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(scaled, y)
    np.testing.assert_allclose(probe.decision_function(x), found.decision_function(scaled), atol=1e-4)


@pytest.mark.parametrize("n", [30, 300])
def test_several_classes_are_each_told_from_the_rest(n):
    x, y = examples(n=n, classes=3)
    probe = LinearProbe(cs=(1.0,)).fit(x, np.array(["a", "b", "c"])[y])
    scaled = (x - probe.mean_) / probe.length_
    each = [LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(scaled, y == c) for c in range(3)]
    logits = np.stack([one.decision_function(scaled) for one in each], axis=1)
    np.testing.assert_allclose(probe.decision_function(x), logits, atol=1e-4)
    assert (probe.predict(x) == np.array(["a", "b", "c"])[logits.argmax(axis=1)]).all()
    np.testing.assert_allclose(probe.predict_proba(x).sum(axis=1), 1)
    assert (probe.predict_proba(x).argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize(("n", "held_out"), [(32, 4), (400, 4), (1200, 1)])
def test_c_is_the_one_of_the_lowest_held_out_loss(n, held_out):
    x, y = examples(n=n, d=30, seed=4, gap=0.05)  # where one fold and four of them choose different ones
    cs = (1.0, 0.01, 0.03, 0.1, 0.3, 3.0, 10.0)
    probe = LinearProbe(cs=cs).fit(x, y)
    scaled, fold = (x - probe.mean_) / probe.length_, np.arange(n) // 2 % 4
    losses = {}
    for c in cs:
        parts = []
        for out in (fold == f for f in range(held_out)):
            fitted = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(scaled[~out], y[~out])
            parts.append(log_loss(y[out], fitted.predict_proba(scaled[out]), normalize=False))
        losses[c] = sum(parts)
    assert probe.c_ == min(losses, key=lambda c: losses[c])


@pytest.mark.parametrize("n", [32, 400])
def test_rows_of_one_group_are_never_on_both_sides_of_a_fold(n):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((n // 2, 60)), 2, axis=0)
    y = np.repeat(np.arange(n // 2) % 2, 2)  # nothing to learn, but each row has a twin
    cs = (1000.0, 1e-3)
    assert LinearProbe(cs=cs).fit(x, y).c_ == 1000
    assert LinearProbe(cs=cs).fit(x, y, groups=np.repeat(np.arange(n // 2), 2)).c_ == 1e-3


def test_too_few_examples_for_the_folds_take_the_first_c():
    x, y = examples(n=7)
    assert LinearProbe(cs=(3.0, 1e-6)).fit(x, y).c_ == 3


def test_the_probe_passes_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks warn of themselves
        check_estimator(LinearProbe(cs=(1.0, 10.0)), expected_failed_checks=CHECKED_HERE)


def test_a_clone_has_the_settings_and_nothing_learned():
    x, y = examples()
    probe = LinearProbe(cs=(0.1, 1.0)).fit(x, y)
    assert clone(probe).get_params() == {"cs": (0.1, 1.0), "folds": 4}
    with pytest.raises(NotFittedError):
        clone(probe).decision_function(x)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="two classes or more"):
        LinearProbe().fit(examples()[0], np.zeros(24))


def test_the_probe_does_not_depend_on_the_place_and_scale_of_embeddings():
    x, y = examples()
    scores = LinearProbe().fit(x, y).decision_function(x)
    moved = LinearProbe().fit(50 + x / 100, y).decision_function(50 + x / 100)
    np.testing.assert_allclose(moved, scores, atol=1e-6)


@pytest.mark.parametrize("n", [16, 100])
def test_separable_examples_and_constant_features_stay_finite(n):
    x = np.concatenate([np.ones((n, 3)), -np.ones((n, 3))])
    x[:, 2] = 5
    assert np.isfinite(LinearProbe(cs=(1e4,)).fit(x, np.repeat([1, 0], n)).coef_).all()


def test_rows_that_are_all_alike_are_told_apart_by_nothing():
    probe = LinearProbe().fit(np.ones((20, 3)), np.repeat([0, 1], (15, 5)))
    np.testing.assert_allclose(probe.predict_proba(np.ones((1, 3))), [[0.75, 0.25]], atol=1e-6)
