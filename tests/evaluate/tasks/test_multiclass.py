"""Figures of classes against scikit-learn and plain loops."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score, roc_auc_score

from medistill.evaluate.statistics.interval import patient_weights
from medistill.evaluate.tasks.multiclass import class_metrics, confusion, standardized

CLASSES = ("alpha", "beta", "gamma", "delta")


def tied_scores(n: int, seed: int) -> np.ndarray:
    """A handful of different values, so that many cases tie, within a class and between classes."""
    return np.random.default_rng(seed).integers(0, 5, (n, len(CLASSES))).astype(np.float32)


def figures(runs, truth, seed=0, patients=None):
    patients = patients or [f"p{i}" for i in range(len(truth))]
    weights = patient_weights(patients, 50, seed=seed)
    return class_metrics(runs, np.asarray(truth, np.int64), CLASSES, patients, weights, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn(seed):
    scores = tied_scores(60, seed)
    truth = np.random.default_rng([seed, 1]).integers(0, 4, 60)
    called, found = scores.argmax(axis=1), figures([scores], truth)
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(truth, called))
    assert found["f1_macro"]["value"] == pytest.approx(f1_score(truth, called, average="macro"))
    recalls = recall_score(truth, called, average=None)
    assert [found[f"recall/{name}"]["value"] for name in CLASSES] == pytest.approx(list(recalls))
    areas = [roc_auc_score(truth == c, scores[:, c]) for c in range(4)]
    assert found["auroc_macro"]["value"] == pytest.approx(np.mean(areas))
    assert found["recall/beta"]["n_images"] == (truth == 1).sum()


@pytest.mark.parametrize("seed", range(5))
def test_confusion_is_that_of_scikit_learn(seed):
    scores = tied_scores(60, seed)
    truth = np.random.default_rng([seed, 1]).integers(0, 4, 60)
    assert confusion([scores], truth) == confusion_matrix(truth, scores.argmax(axis=1)).tolist()


def test_confusion_is_the_mean_over_runs():
    runs, truth = [tied_scores(30, seed) for seed in (0, 1, 2)], np.arange(30) % 4
    single = [confusion([scores], truth) for scores in runs]
    np.testing.assert_allclose(confusion(runs, truth), np.mean(single, axis=0))


def test_a_class_without_cases_is_not_defined_and_not_in_the_means():
    scores = tied_scores(60, 0)
    truth = np.random.default_rng(1).choice([0, 1, 3], 60)
    called, found = scores.argmax(axis=1), figures([scores], truth)
    assert found["recall/gamma"]["value"] is None
    assert found["recall/gamma"]["reason"] == "no case of the class"
    present = [0, 1, 3]
    assert found["f1_macro"]["value"] == pytest.approx(
        f1_score(truth, called, labels=present, average="macro")
    )
    areas = [roc_auc_score(truth == c, scores[:, c]) for c in present]
    assert found["auroc_macro"]["value"] == pytest.approx(np.mean(areas))
    assert confusion([scores], truth)[2] == [0, 0, 0, 0]


def test_a_class_that_is_never_called_counts_with_an_f1_of_zero():
    scores = np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]
    assert figures([scores], [0, 1, 2, 3])["f1_macro"]["value"] == pytest.approx((2 / 3 + 1 + 1 + 0) / 4)


def test_one_case_has_an_accuracy_and_no_ranking():
    found = figures([tied_scores(1, 0)], [2])
    assert found["accuracy"]["value"] in (0.0, 1.0)
    assert found["auroc_macro"]["value"] is None
    assert found["auroc_macro"]["reason"] == "needs cases of two classes"
    assert [name for name in CLASSES if found[f"recall/{name}"]["value"] is not None] == ["gamma"]


def test_no_case_is_not_defined():
    found = class_metrics(
        [np.zeros((0, 4), np.float32)],
        np.zeros(0, np.int64),
        CLASSES,
        [],
        np.zeros((0, 11), np.float32),
        seed=0,
    )
    assert found["accuracy"]["value"] is None


def test_ties_go_to_the_class_that_comes_first():
    found = figures([np.ones((4, 4), np.float32)], [0, 0, 1, 3])
    assert (found["accuracy"]["value"], found["recall/alpha"]["value"]) == (0.5, 1.0)
    assert found["auroc_macro"]["value"] == 0.5


def test_figures_are_means_over_runs():
    runs, truth = [tied_scores(40, seed) for seed in (0, 1, 2)], np.arange(40) % 4
    single, together = [figures([scores], truth) for scores in runs], figures(runs, truth)
    for name, entry in together.items():
        assert entry["value"] == pytest.approx(np.mean([found[name]["value"] for found in single])), name
        assert entry["n_runs"] == 3


def test_the_interval_holds_the_spread_of_runs_and_of_patients():
    truth = np.arange(400) % 4
    right = np.eye(4, dtype=np.float32)[truth]
    wrong = np.eye(4, dtype=np.float32)[(truth + 1) % 4]
    steady = figures([right, right], truth)["accuracy"]
    assert (steady["low"], steady["high"]) == (1.0, 1.0)
    either = figures([right, wrong], truth)["accuracy"]
    assert (either["low"], either["value"], either["high"]) == (0.0, 0.5, 1.0)
    half = np.where((np.arange(400) < 200)[:, None], right, wrong)
    alone = figures([half], truth)["accuracy"]
    clustered = figures([half], truth, patients=[f"p{i // 40}" for i in range(400)])["accuracy"]
    assert clustered["high"] - clustered["low"] > 2 * (alone["high"] - alone["low"]) > 0


def test_standardized_scores_are_those_of_a_plain_loop():
    scores = np.random.default_rng(0).normal(3, 5, (20, 4)).astype(np.float32)
    found = standardized(scores)
    for c in range(4):
        column = [float(score) for score in scores[:, c]]
        mean = sum(column) / 20
        spread = (sum((score - mean) ** 2 for score in column) / 20) ** 0.5
        np.testing.assert_allclose(found[:, c], [(score - mean) / spread for score in column], atol=1e-6)


def test_a_class_whose_scores_are_all_equal_is_standardized_to_zero():
    assert (standardized(np.full((5, 4), 2.5, np.float32)) == 0).all()
