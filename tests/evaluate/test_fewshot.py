"""Few-shot draws and their classifier."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from medistill.evaluate.fewshot import LinearProbe, draw_shots, few_shot_metrics, logistic_weights, over_draws
from medistill.evaluate.interval import patient_weights


def examples(n=24, d=10, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.standard_normal((n, d)) + y[:, None] * 0.7, y


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_the_weights_equal_scikit_learns(c):
    x, y = examples()
    theta = logistic_weights(x, y == 1, np.ones((1, 24)), np.array([c]))[0]
    theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(theta, [*theirs.coef_[0], *theirs.intercept_], atol=1e-4)


def test_examples_left_out_of_a_fold_do_not_move_its_weights():
    x, y = examples()
    kept = (np.arange(24) < 16).astype(float)[None]
    alone = logistic_weights(x[:16], y[:16] == 1, np.ones((1, 16)), np.ones(1))
    np.testing.assert_allclose(logistic_weights(x, y == 1, kept, np.ones(1)), alone, atol=1e-8)


def test_more_dimensions_than_examples_give_scikit_learns_answer():
    x, y = examples(n=12, d=40)
    probe = LinearProbe(cs=(1.0,)).fit(x, y)
    scaled = (x - probe.mean_) / probe.length_
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(scaled, y)
    np.testing.assert_allclose(probe.decision_function(x), theirs.decision_function(scaled), atol=1e-4)


def test_the_probe_follows_scikit_learns_conventions():
    x, y = examples()
    probe = clone(LinearProbe(cs=(0.1, 1.0)))
    assert probe.fit(x, y) is probe
    assert set(probe.predict(x)) <= {0, 1}
    np.testing.assert_allclose(probe.predict_proba(x).sum(axis=1), 1)
    assert probe.score(x, y) > 0.8
    with pytest.raises(ValueError, match="two classes"):
        probe.fit(x, np.zeros(24))


def test_the_probe_does_not_depend_on_the_place_and_scale_of_embeddings():
    x, y = examples()
    scores = LinearProbe().fit(x, y).decision_function(x)
    np.testing.assert_allclose(
        LinearProbe().fit(50 + x / 100, y).decision_function(50 + x / 100), scores, atol=1e-6
    )


def test_separable_examples_stay_finite():
    x = np.concatenate([np.ones((16, 3)), -np.ones((16, 3))])
    assert np.isfinite(LinearProbe(cs=(1e4,)).fit(x, np.repeat([1, 0], 16)).coef_).all()


@pytest.fixture
def labeled():
    rng = np.random.default_rng(1)
    labels = rng.choice([1, 0, -1, np.nan], (200, 2), p=[0.3, 0.5, 0.1, 0.1]).astype(np.float32)
    return labels, [f"{i // 2:03d}" for i in range(200)], ("alpha", "beta")


def test_a_draw_holds_k_patients_of_each_kind_and_none_of_both(labeled):
    labels, patients, findings = labeled
    for draw in draw_shots(labels, patients, findings, draws=10, seed=0):
        own = labels[draw.studies, draw.finding]
        assert own.tolist() == [1] * draw.k + [0] * draw.k
        drawn = [patients[study] for study in draw.studies]
        assert len(set(drawn)) == 2 * draw.k
        ever = {patients[i] for i in np.flatnonzero(labels[:, draw.finding] == 1)}
        assert not ever & set(drawn[draw.k :])


def test_draws_differ_from_each_other_and_repeat_with_the_seed(labeled):
    first, second = (draw_shots(*labeled[:2], labeled[2], draws=10, seed=3) for _ in range(2))
    assert all((a.studies == b.studies).all() for a, b in zip(first, second, strict=True))
    assert len({tuple(draw.studies) for draw in first if draw.k == 16}) == 20


def test_a_findings_draws_do_not_depend_on_the_other_findings(labeled):
    labels, patients, findings = labeled
    both = [
        d.studies.tolist() for d in draw_shots(labels, patients, findings, draws=2, seed=0) if d.finding == 1
    ]
    alone = draw_shots(labels[:, 1:], patients, findings[1:], draws=2, seed=0)
    assert both == [draw.studies.tolist() for draw in alone]


def test_a_finding_with_too_few_patients_is_left_out_at_that_k():
    labels = np.zeros((60, 1), np.float32)
    labels[:5] = 1
    drawn = draw_shots(labels, [str(i) for i in range(60)], ("rare",), draws=2, seed=0)
    assert {draw.k for draw in drawn} == {1, 4}


def test_telling_embeddings_score_one_and_random_ones_one_half(labeled):
    labels, patients, findings = labeled
    rng = np.random.default_rng(2)
    drawn = draw_shots(labels, patients, findings, draws=10, seed=0)
    weights = patient_weights(patients, 50, seed=0)
    telling = np.nan_to_num(labels).clip(0).astype(np.float32)
    blind, other = (rng.standard_normal((200, 8)).astype(np.float32) for _ in range(2))
    perfect = few_shot_metrics(drawn, telling, telling, labels, patients, weights, seed=0)
    random = few_shot_metrics(drawn, other, blind, labels, patients, weights, seed=0)
    assert perfect["auroc_macro@16"]["value"] == pytest.approx(1)
    assert random["auroc_macro@16"]["low"] < 0.5 < random["auroc_macro@16"]["high"]
    assert random["auroc_macro@1"]["n_findings"] == 2


def test_without_draws_the_figure_is_not_defined(labeled):
    labels, patients, _ = labeled
    weights = patient_weights(patients, 5, seed=0)
    rows = np.zeros((200, 4), np.float32)
    found = few_shot_metrics([], rows, rows, labels, patients, weights, seed=0)
    assert found["auroc_macro@16"]["value"] is None
    assert "16 + 16" in found["auroc_macro@16"]["reason"]


def test_the_interval_widens_with_the_spread_of_draws():
    areas = np.repeat(np.array([[0.6], [0.9]]), 101, axis=1)
    assert over_draws(areas, seed=0)[0] == pytest.approx(0.75)
    assert set(np.round(over_draws(areas, seed=0)[1:], 6)) == {0.6, 0.75, 0.9}
