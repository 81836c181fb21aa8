"""Zero-shot figures against scikit-learn."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn import metrics

from medistill.evaluate.statistics.auroc_variance import area_of, clusters_of, variance
from medistill.evaluate.statistics.calibrate import Calibration
from medistill.evaluate.statistics.interval import patient_weights
from medistill.evaluate.tasks.zeroshot import (
    Scored,
    among_abnormal,
    is_abnormal,
    prompt_scores,
    zero_shot_metrics,
)

FINDINGS = ("alpha", "beta", "only negative", "never stated")
PATIENTS = [f"{i // 2:03d}" for i in range(100)]


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    scores = np.round(rng.standard_normal((100, 4)) * 0.3, 1).astype(np.float32)
    labels = (rng.random((100, 4)) < 0.4).astype(np.float32)
    labels[rng.random((100, 4)) < 0.1] = np.nan
    labels[rng.random((100, 4)) < 0.1] = -1
    labels[:, 2] = np.where(labels[:, 2] == 1, 0, labels[:, 2])
    labels[:, 3] = np.nan
    return scores, labels


def calibration(findings=4):
    return Calibration(
        slope=5.0, bias=np.zeros(findings), threshold=np.full(findings, 0.4), origin="set by the test"
    )


def cases_of(scores, labels, findings, patients):
    return Scored(
        scores=scores,
        labels=labels,
        findings=findings,
        patient_ids=patients,
        calibration=calibration(len(findings)),
    )


def evaluated(scores, labels, findings=FINDINGS):
    cases = cases_of(scores, labels, findings, PATIENTS[: len(scores)])
    return zero_shot_metrics(cases, patient_weights(cases.patient_ids, 50, seed=0))


def columns(scores, labels):
    """(probability, score, label) of the labeled cases of the two findings with both classes."""
    for f in (0, 1):
        cases = np.isin(labels[:, f], (0, 1))
        yield calibration().probability(scores)[cases, f], scores[cases, f], labels[cases, f]


def test_macro_figures_equal_scikit_learns_mean_over_defined_findings(scored):
    found = evaluated(*scored)
    parts = list(columns(*scored))
    expected = {
        "auroc_macro": np.mean([metrics.roc_auc_score(y, s) for _, s, y in parts]),
        "ap_macro": np.mean([metrics.average_precision_score(y, s) for _, s, y in parts]),
        "accuracy": np.mean([metrics.accuracy_score(y, p >= 0.4) for p, _, y in parts]),
        "f1_macro": np.mean([metrics.f1_score(y, p >= 0.4) for p, _, y in parts]),
        "brier": metrics.brier_score_loss(*(np.concatenate([part[i] for part in parts]) for i in (2, 0))),
    }
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected)
    assert found["auroc_macro"]["n_findings"] == 2


def test_calibration_error_equals_a_loop_over_bins(scored):
    probability, present = (np.concatenate([part[i] for part in columns(*scored)]) for i in (0, 2))
    place = np.minimum((probability * 15).astype(int), 14)
    gaps = [
        (place == b).mean() * abs(probability[place == b].mean() - present[place == b].mean())
        for b in range(15)
        if (place == b).any()
    ]
    assert evaluated(*scored)["ece"]["value"] == pytest.approx(sum(gaps))


def test_every_resample_equals_scikit_learns_figures_of_the_cases_drawn(scored):
    """Each case repeated as often as its patient was drawn; ECE by a loop over bins."""
    scores, labels = scored
    found = evaluated(scores, labels)
    weights = patient_weights(PATIENTS, 50, seed=0).astype(int)
    for resample in (1, 7, 50):
        drawn = np.repeat(np.arange(100), weights[:, resample])
        parts = list(columns(scores[drawn], labels[drawn]))
        probability, present = (np.concatenate([p[i] for p in parts]).astype(float) for i in (0, 2))
        place = np.minimum((probability * 15).astype(int), 14)
        inside = [place == b for b in np.unique(place)]
        expected = {
            "auroc/alpha": metrics.roc_auc_score(parts[0][2], parts[0][1]),
            "auroc_macro": np.mean([metrics.roc_auc_score(y, s) for _, s, y in parts]),
            "ap_macro": np.mean([metrics.average_precision_score(y, s) for _, s, y in parts]),
            "accuracy": np.mean([metrics.accuracy_score(y, p >= 0.4) for p, _, y in parts]),
            "f1_macro": np.mean([metrics.f1_score(y, p >= 0.4) for p, _, y in parts]),
            "brier": np.mean((probability - present) ** 2),
            "ece": sum(b.mean() * abs(probability[b].mean() - present[b].mean()) for b in inside),
        }
        spreads = {name: found[name].spread[resample - 1] for name in expected}
        assert spreads == pytest.approx(expected, abs=1e-9)


def test_the_interval_of_an_auroc_is_named(scored):
    found = evaluated(*scored)
    named = {name for name, entry in found.items() if entry.get("interval") == "log_odds"}
    assert named == {"auroc/alpha", "auroc/beta", "auroc_macro"}


def test_the_bootstrap_of_a_finding_agrees_with_its_analytic_interval():
    rng = np.random.default_rng(6)
    patients = [f"{i // 2:04d}" for i in range(2000)]
    labels = (rng.random((2000, 1)) < 0.3).astype(np.float32)
    scores = (
        labels + rng.standard_normal((2000, 1)) + np.repeat(rng.standard_normal((1000, 1)), 2, 0)
    ).astype(np.float32)
    weights = patient_weights(patients, 1000, seed=0)
    entry = zero_shot_metrics(cases_of(scores, labels, ("a",), patients), weights)["auroc/a"]
    present = labels[:, 0] == 1
    clusters = clusters_of(present, patients)
    area = area_of(scores[:, 0], present, clusters)
    assert entry["value"] == pytest.approx(area.value)
    half = 1.96 * variance(area, clusters) ** 0.5 / (area.value * (1 - area.value))
    low, high = expit(logit(area.value) + np.array([-half, half]))
    assert (entry["low"], entry["high"]) == pytest.approx((low, high), abs=0.003)


def test_a_finding_that_lacks_a_class_is_not_defined_and_says_so(scored):
    found = evaluated(*scored)
    assert found["auroc/only negative"]["value"] is None
    assert "0 positive" in found["auroc/only negative"]["reason"]
    assert found["auroc/never stated"]["n_images"] == 0


def test_uncertain_and_unstated_labels_do_not_count(scored):
    scores, labels = scored
    moved = np.where(np.isin(labels, (0, 1)), scores, 9.0).astype(np.float32)
    assert evaluated(moved, labels) == evaluated(scores, labels)


def test_one_case_gives_no_figure_and_no_crash():
    found = evaluated(np.ones((1, 4), np.float32), np.ones((1, 4), np.float32))
    assert all(entry["value"] is None and entry["reason"] for entry in found.values())


def test_perfect_scores_give_one_and_random_scores_one_half():
    rng = np.random.default_rng(4)
    labels = (rng.random((100, 2)) < 0.5).astype(np.float32)
    names = ("alpha", "beta")
    perfect = evaluated(labels, labels, names)["auroc_macro"]
    blind = evaluated(rng.standard_normal((100, 2)).astype(np.float32), labels, names)["auroc_macro"]
    assert (perfect["value"], perfect["low"], perfect["high"]) == (1, 1, 1)
    assert blind["low"] < 0.5 < blind["high"]


def test_one_hot_classes_are_scored_one_against_the_rest():
    classes = np.arange(90) % 3
    labels = np.eye(3, dtype=np.float32)[classes]
    scores = (labels + np.random.default_rng(5).standard_normal((90, 3))).astype(np.float32)
    found = evaluated(scores, labels, ("a", "b", "c"))
    expected = np.mean([metrics.roc_auc_score(classes == c, scores[:, c]) for c in range(3)])
    assert found["auroc_macro"]["value"] == pytest.approx(expected)


def test_a_score_is_the_difference_of_two_cosines():
    image, positive, negative = (np.eye(3, dtype=np.float32)[[i]] for i in range(3))
    np.testing.assert_allclose(prompt_scores(image + 2 * positive, positive, negative), [[2]])


def test_four_patients_give_figures_without_intervals_and_the_reason():
    labels = np.array([[1], [1], [0], [0]], np.float32)
    entries = evaluated(labels.copy(), labels, findings=("edema",))
    for name in ("auroc/edema", "auroc_macro", "ap_macro", "accuracy", "brier"):
        assert entries[name]["value"] is not None
        assert (entries[name]["low"], entries[name]["high"]) == (None, None)
        assert "10 are needed" in entries[name]["reason"]


def test_a_macro_figure_keeps_its_interval_if_a_finding_has_ten_patients_on_each_side(scored):
    scores, labels = scored
    labels[:, 1] = np.where(np.arange(100) < 9, 1, 0)
    entries = evaluated(scores, labels)
    assert entries["auroc_macro"]["low"] is not None
    assert entries[f"auroc/{FINDINGS[1]}"]["low"] is None
    assert entries[f"auroc/{FINDINGS[0]}"]["low"] is not None


def among(scores, labels, findings):
    cases = cases_of(scores, labels, findings, PATIENTS[: len(scores)])
    return among_abnormal(cases, patient_weights(cases.patient_ids, 50, seed=0))


def test_figures_among_abnormal_studies_equal_scikit_learns_over_those_studies(scored):
    scores, labels = scored
    inside = np.array([any(label == 1 for label in row) for row in labels])
    found, areas = among(scores, labels, FINDINGS), []
    for f in (0, 1):
        cases = inside & np.isin(labels[:, f], (0, 1))
        areas.append(metrics.roc_auc_score(labels[cases, f], scores[cases, f]))
        assert found[f"auroc_abnormal/{FINDINGS[f]}"]["value"] == pytest.approx(areas[-1])
        assert found[f"auroc_abnormal/{FINDINGS[f]}"]["n_images"] == cases.sum()
    assert found["auroc_macro_abnormal"]["value"] == pytest.approx(np.mean(areas))
    assert found["auroc_macro_abnormal"]["low"] < found["auroc_macro_abnormal"]["value"]
    assert found["auroc_abnormal/only negative"]["value"] is None


def test_a_score_of_normal_against_abnormal_is_good_overall_and_chance_among_the_abnormal():
    rng = np.random.default_rng(1)
    labels = np.zeros((100, 3), np.float32)
    labels[50:, :2] = rng.random((50, 2)) < 0.5
    labels[:, 2] = np.arange(100) < 50
    scores = np.repeat((np.arange(100) >= 50)[:, None], 3, axis=1).astype(np.float32)
    names = ("alpha", "beta", "mesh: normal")
    assert evaluated(scores, labels, names)["auroc/alpha"]["value"] > 0.7
    assert among(scores, labels, names)["auroc_abnormal/alpha"]["value"] == 0.5
    assert among(scores, labels, names)["auroc_abnormal/mesh: normal"]["value"] is None
    assert is_abnormal(labels, names).tolist() == [False] * 50 + [True] * 50


def test_without_abnormal_studies_nothing_is_defined(scored):
    scores, labels = scored
    found = among(scores, np.where(labels == 1, np.float32(0), labels), FINDINGS)
    assert {entry["value"] for entry in found.values()} == {None}
    assert found["auroc_macro_abnormal"]["reason"] == "no finding has both a positive and a negative case"
