"""Figures by group: which groups there are, what they score, and by how much they differ."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medistill.data.studies import studies_of
from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.pages.evaluation import page
from medistill.evaluate.statistics.auroc import auroc
from medistill.evaluate.statistics.calibrate import uncalibrated
from medistill.evaluate.statistics.interval import patient_weights
from medistill.evaluate.statistics.resample import resampled
from medistill.evaluate.tasks.slices import groups_of, slice_metrics
from medistill.evaluate.tasks.zeroshot import Scored

NAMES = ("alpha", "beta", "gamma")


def told(corpus, **columns):
    """The test split with these columns, the others unstated."""
    rows = corpus.split("test")
    rows.column = lambda name: columns.get(name, [None] * len(rows))
    return rows


def test_groups_are_those_of_enough_patients_and_age_comes_in_bands(corpus):
    n = len(corpus.split("test"))  # two images a patient
    ages = [10.0] * 40 + [17.9, 18.0] * 20 + [70.0] * (n - 80)
    rows = told(corpus, sex=["F"] * 60 + ["M"] * (n - 60), age=ages, view=["PA"] * (n - 4) + ["AP"] * 4)
    groups = groups_of(rows, studies_of(rows))
    assert set(groups) == {"sex", "age"}  # AP has two patients, and one view left is no group
    assert {value: int(mask.sum()) for value, mask in groups["age"].items()} == {
        "0-17": 60,
        "18-39": 20,
        "65+": 40,
    }


@pytest.fixture
def sliced(corpus):
    rows = told(corpus, sex=["F"] * 50 + ["M"] * 66 + [None] * 4)
    studies = studies_of(rows)
    rng = np.random.default_rng(0)
    scores = (studies.labels + rng.standard_normal(studies.labels.shape)).astype(np.float32)
    patients = studies.patient_ids

    def over_patients(task):
        return resampled(task, patients, resamples=50, seed=0)

    def figures(labels=studies.labels):
        cases = Scored(
            scores=scores,
            labels=labels,
            findings=NAMES,
            patient_ids=patients,
            calibration=uncalibrated(1.0, 3),
        )
        return slice_metrics(groups_of(rows, studies), cases, over_patients)

    return figures, studies, scores


def test_a_group_scores_what_its_cases_alone_would(sliced):
    figures, studies, scores = sliced
    found = figures()
    for value, cases in (("F", slice(0, 50)), ("M", slice(50, 116))):
        each = [roc_auc_score(studies.labels[cases, f], scores[cases, f]) for f in range(3)]
        entry = found[f"zero_shot/sex={value}"]["auroc_macro"]
        assert entry["value"] == pytest.approx(np.mean(each))
        assert entry["n_images"] == cases.stop - cases.start


def test_differences_are_from_the_largest_group(sliced):
    found = sliced[0]()
    assert list(found) == ["zero_shot/sex=F", "zero_shot/sex=M", "zero_shot/sex=F less M"]
    less, one, other = (found[f"zero_shot/sex={name}"]["auroc_macro"] for name in ("F less M", "F", "M"))
    assert less["value"] == pytest.approx(one["value"] - other["value"])
    np.testing.assert_allclose(less.spread, one.spread - other.spread)


def test_a_finding_that_one_group_lacks_counts_in_none(sliced):
    figures, studies, _ = sliced
    labels = studies.labels.copy()
    labels[:50, 0] = 0
    found = figures(labels)
    assert "auroc/alpha" not in found["zero_shot/sex=M"]
    assert found["zero_shot/sex=M"]["auroc_macro"]["n_findings"] == 2
    labels[:50] = 0
    assert figures(labels) == {}


def test_the_page_shows_groups_and_their_differences(corpus, knowing):
    n = len(corpus.split("test"))
    told(corpus, sex=["F", "F", "M", "M"] * (n // 4))
    evaluation = evaluate_model(knowing, corpus, resamples=20)
    assert {"zero_shot/sex=F", "zero_shot/sex=M"} <= set(evaluation.metrics)
    html = page(evaluation, with_cases=False)
    assert "By group" in html
    assert "sex=F" in html and " less " in html


def test_a_group_is_resampled_by_the_weights_of_its_own_cases(sliced):
    figures, studies, scores = sliced
    weights = patient_weights(studies.patient_ids, 50, seed=0)[50:116]
    each = np.mean(
        [auroc(scores[50:116, f], studies.labels[50:116, f] == 1, weights) for f in range(3)], axis=0
    )
    np.testing.assert_allclose(figures()["zero_shot/sex=M"]["auroc_macro"].spread, each[1:], rtol=1e-6)
