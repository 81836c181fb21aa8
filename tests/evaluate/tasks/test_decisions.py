"""Calibration by bins and calls at thresholds, against scikit-learn and loops."""

from functools import partial

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.pages.evaluation import page
from medistill.evaluate.statistics.calibrate import BINS, Calibration, uncalibrated
from medistill.evaluate.statistics.interval import patient_weights, share_figure
from medistill.evaluate.statistics.resample import resampled
from medistill.evaluate.tasks.decisions import call_rates, decisions
from medistill.evaluate.tasks.zeroshot import Scored
from tests.evaluate.pages.test_evaluation import Balanced

FINDINGS = ("a", "b", "c")
PATIENTS = [f"{i // 2:03d}" for i in range(300)]


def cases(seed=0):
    """Scores and labels with uncertain and unstated ones; finding c is never present."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, 0, 0, -1, np.nan], (300, 3)).astype(np.float32)
    labels[:, 2] = np.minimum(labels[:, 2], 0)
    scores = (np.nan_to_num(labels) + 1.5 * rng.standard_normal((300, 3))).astype(np.float32)
    return scores, labels


def fitted(slope=1.3):
    return Calibration(
        slope=slope, bias=np.array([-1.0, -0.5, 0.0]), threshold=np.array([0.3, 0.5, 0.5]), origin="fitted"
    )


def made(scores, labels, before="own", resamples=200, calibration=None):
    over = partial(resampled, patient_ids=PATIENTS, resamples=resamples, seed=0)
    cases = Scored(
        scores=scores,
        labels=labels,
        findings=FINDINGS,
        patient_ids=PATIENTS,
        calibration=calibration or fitted(),
    )
    return decisions(cases, uncalibrated(1.0, 3) if before == "own" else None, over)


def test_counts_are_the_confusion_matrix_at_the_threshold():
    scores, labels = cases()
    found = made(scores, labels)
    assert set(found.calls) == {"a", "b"}
    for f, name in enumerate("ab"):
        stated = np.isin(labels[:, f], (0, 1))
        called = fitted().probability(scores)[stated, f] >= fitted().threshold[f]
        (tn, fp), (fn, tp) = confusion_matrix(labels[stated, f] == 1, called)
        told = found.calls[name]
        names = ("true_positive", "false_negative", "false_positive", "true_negative")
        assert [told[key] for key in names] == [tp, fn, fp, tn]
        assert told["threshold"] == fitted().threshold[f]
        assert told["sensitivity"]["value"] == pytest.approx(tp / (tp + fn))
        assert told["specificity"]["value"] == pytest.approx(tn / (tn + fp))
        assert told["sensitivity"]["low"] < told["sensitivity"]["value"] < told["sensitivity"]["high"]


def test_bins_are_those_of_scikit_learn_over_all_findings_with_both_classes():
    scores, labels = cases()
    bins = made(scores, labels).reliability["after"]
    stated = np.isin(labels[:, :2], (0, 1))
    y, p = (labels[:, :2] == 1)[stated], fitted().probability(scores)[:, :2][stated]
    present, said = calibration_curve(y, p, n_bins=BINS)
    np.testing.assert_allclose([one["present"]["value"] for one in bins], present)
    np.testing.assert_allclose([one["probability"] for one in bins], said)
    counts = np.histogram(p, bins=BINS, range=(0, 1))[0]
    assert [one["present"]["n_labels"] for one in bins] == counts[counts > 0].tolist()


def test_bins_and_the_error_of_calibration_say_the_same(corpus, knowing):
    evaluation = evaluate_model(knowing, corpus, resamples=20, draws=2)
    bins = evaluation.protocol["reliability"]["after"]
    n = sum(one["present"]["n_labels"] for one in bins)
    error = sum(
        one["present"]["n_labels"] * abs(one["probability"] - one["present"]["value"]) for one in bins
    )
    assert error / n == pytest.approx(evaluation.metrics["zero_shot"]["ece"]["value"], abs=1e-9)


def test_the_interval_of_a_rate_is_that_of_a_loop_over_resamples():
    scores, labels = cases()
    called = scores > 0.5
    weights = patient_weights(PATIENTS, 50, seed=3)
    rates = call_rates(called, labels, FINDINGS, PATIENTS, weights)
    positive = labels[:, 0] == 1
    for resample in range(1, 51):
        drawn = np.repeat(called[positive, 0], weights[positive, resample].astype(int))
        assert rates["sensitivity/a"].spread[resample - 1] == pytest.approx(drawn.mean())
    assert rates["sensitivity/c"]["value"] is None


def test_before_and_after_fitting_are_told_where_they_are_known():
    scores, labels = cases()
    assert list(made(scores, labels).reliability) == ["before", "after"]
    assert list(made(scores, labels, before=None).reliability) == ["after"]
    assert list(made(scores, labels, calibration=uncalibrated(1.0, 3)).reliability) == ["before"]


def test_without_a_finding_of_both_classes_nothing_is_told():
    scores, labels = cases()
    found = made(scores, np.minimum(labels, 0))
    assert (found.reliability, found.calls) == ({}, {})


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_of_all_or_none_is_bounded_by_the_number_of_patients(value):
    """Clopper and Pearson's bound for as many cases as patients: two images a patient add nothing sure."""
    patients = PATIENTS[:40]
    entry = share_figure(np.full(101, value), patients, reason="")
    bound = 1 - 0.025 ** (1 / 20)
    assert (entry["low"], entry["high"]) == pytest.approx((0, bound) if value == 0 else (1 - bound, 1))
    inside = share_figure(np.linspace(0.2, 0.4, 101), patients, reason="")
    assert (inside["low"], inside["high"]) == pytest.approx(
        np.percentile(np.linspace(0.2, 0.4, 101)[1:], [2.5, 97.5])
    )


def test_the_page_draws_both_curves_and_counts_every_finding(corpus, knowing):
    evaluation = evaluate_model(knowing, corpus, resamples=20, draws=2)
    shown = page(evaluation, with_cases=False)
    Balanced(shown)
    section = shown[shown.index('id="decisions"') :].split("</section>")[0]
    assert section.count('aria-label="Calibration curve') == 2
    bins = [b for stage in evaluation.protocol["reliability"].values() for b in stage]
    assert section.count("<circle") == len(bins)
    calls = section[section.index("calls") :]
    for told in evaluation.protocol["calls"].values():
        for name in ("true_positive", "false_negative", "false_positive", "true_negative"):
            assert f">{told[name]}</td>" in calls
        assert f">{told['threshold']:.3f}</td>" in calls


def test_a_corpus_of_one_class_has_a_page_without_them(corpus, knowing):
    corpus.split("test").labels[:] = 0
    shown = page(evaluate_model(knowing, corpus, resamples=20, draws=2), with_cases=False)
    Balanced(shown)
    assert 'id="decisions"' not in shown
