"""The variance of an AUROC against published examples, slow loops and permutations."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medistill.evaluate.statistics.auroc import auroc
from medistill.evaluate.statistics.auroc_variance import (
    area_of,
    auroc_difference,
    clusters_of,
    variance,
)
from medistill.evaluate.statistics.interval import patient_weights

Z = 1.959964


def cases(n=60, levels=6, seed=0, each=2, patients=None):
    """Tied scores of two models, labels of which patients have both kinds, patients."""
    rng = np.random.default_rng(seed)
    present = rng.random(n) < 0.4
    one = rng.integers(0, levels, n) + present
    other = np.round(one + rng.standard_normal(n))
    return one.astype(float), other, present, patients or [f"{i // each:03d}" for i in range(n)]


def value_of(scores, present, patients):
    return area_of(scores, present, clusters_of(present, patients)).value


def standard_error(scores, present, patients):
    clusters = clusters_of(present, patients)
    return variance(area_of(scores, present, clusters), clusters) ** 0.5


def psi(x, y):
    return 1.0 if x > y else 0.5 if x == y else 0.0


def looped_covariance(one, other, present, patients):
    """Obuchowski 1997, symbol by symbol, over all pairs."""
    ids = sorted(set(patients))
    positive = {i: [j for j, p in enumerate(patients) if p == i and present[j]] for i in ids}
    negative = {i: [j for j, p in enumerate(patients) if p == i and not present[j]] for i in ids}
    m, n = sum(map(len, positive.values())), sum(map(len, negative.values()))
    ups, downs = (list(itertools.chain(*side.values())) for side in (positive, negative))
    v10, v01, theta = [], [], []
    for scores in (one, other):
        v10.append({j: sum(psi(scores[j], scores[k]) for k in downs) / n for j in ups})
        v01.append({k: sum(psi(scores[j], scores[k]) for j in ups) / m for k in downs})
        theta.append(sum(v10[-1].values()) / m)

    def x(r, i):
        return sum(v10[r][j] for j in positive[i]) - len(positive[i]) * theta[r]

    def y(r, i):
        return sum(v01[r][k] for k in negative[i]) - len(negative[i]) * theta[r]

    i10, i01, i = sum(map(bool, positive.values())), sum(map(bool, negative.values())), len(ids)
    s10 = i10 / ((i10 - 1) * m) * sum(x(0, c) * x(1, c) for c in ids)
    s01 = i01 / ((i01 - 1) * n) * sum(y(0, c) * y(1, c) for c in ids)
    s11 = [i / (i - 1) * sum(x(r, c) * y(s, c) for c in ids) for r, s in ((0, 1), (1, 0))]
    return s10 / m + s01 / n + (s11[0] + s11[1]) / (m * n)


def test_a_published_rating_experiment_has_its_published_standard_error():
    """Hanley and McNeil, Radiology 143 (1982) 29-36: one reader's ratings of 109 CT images, 1 to 5.

    DeLong's standard error and interval of it are printed in the manual of Stata's `roctab`.
    """
    normal, abnormal = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
    ratings = np.repeat(np.tile(np.arange(1.0, 6.0), 2), normal + abnormal)
    present, images = np.arange(109) >= 58, [f"{i:03d}" for i in range(109)]
    area = value_of(ratings, present, images)
    error = standard_error(ratings, present, images)
    assert (round(area, 4), round(error, 4)) == (0.8932, 0.0307)
    assert (round(area - Z * error, 5), round(area + Z * error, 5)) == (0.83295, 0.95339)


@pytest.mark.parametrize("each", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_variance_and_covariance_equal_a_loop_over_pairs(each, seed):
    one, other, present, patients = cases(n=32, seed=seed, each=each)
    looped = {
        (a, b): looped_covariance(s, t, present, patients)
        for (a, s), (b, t) in itertools.product(enumerate((one, other)), repeat=2)
    }
    clusters = clusters_of(present, patients)
    areas = [area_of(scores, present, clusters) for scores in (one, other)]
    assert variance(areas[0], clusters) == pytest.approx(looped[0, 0])
    assert variance(areas[0] - areas[1], clusters) == pytest.approx(
        looped[0, 0] + looped[1, 1] - 2 * looped[0, 1]
    )


def test_the_area_is_scikit_learns_and_the_bootstraps():
    one, _, present, patients = cases()
    found = value_of(one, present, patients)
    assert found == pytest.approx(roc_auc_score(present, one))
    assert found == pytest.approx(auroc(one, present, np.ones((60, 1), np.float32))[0])


@pytest.mark.parametrize("each", [1, 3])
def test_the_standard_error_is_the_bootstraps_in_a_large_sample(each):
    one, other, present, patients = cases(n=3000, levels=40, each=each)
    weights = patient_weights(patients, 2000, seed=0)
    spreads = [auroc(scores, present, weights)[1:] for scores in (one, other)]
    assert standard_error(one, present, patients) == pytest.approx(spreads[0].std(), rel=0.05)
    found = auroc_difference(one, other, present, patients)
    half = Z * (spreads[0] - spreads[1]).std()
    assert found["high"] - found["value"] == pytest.approx(half, rel=0.05)


def test_p_is_that_of_swapping_the_models_patient_by_patient():
    """Scores on one scale: where the models are alike, which is which is chance, patient by patient."""
    rng = np.random.default_rng(3)
    present, patients = rng.random(300) < 0.4, np.repeat(np.arange(100), 3)
    hard = rng.standard_normal(100)[patients] + present
    one, other = hard + 0.8 * rng.standard_normal(300), hard + rng.standard_normal(300)
    found = auroc_difference(one, other, present, [f"{p:03d}" for p in patients])
    whole, swapped = np.ones((300, 1), np.float32), []
    for _ in range(300):
        swap = (rng.random(100) < 0.5)[patients]
        areas = [auroc(np.where(swap, *pair), present, whole)[0] for pair in ((one, other), (other, one))]
        swapped.append(abs(areas[0] - areas[1]) >= abs(found["value"]))
    assert 0.02 < found["p"] < 0.5
    assert found["p"] == pytest.approx(np.mean(swapped), abs=0.05)


def test_repeating_each_patients_image_tells_nothing_new():
    one, _, present, patients = cases(each=1)
    thrice = [np.repeat(column, 3) for column in (one, present, np.array(patients))]
    assert standard_error(thrice[0], thrice[1], thrice[2].tolist()) == pytest.approx(
        standard_error(one, present, patients)
    )


def test_the_method_is_named_by_whether_a_patient_has_several_images():
    one, other, present, patients = cases()
    images = [f"{i:03d}" for i in range(60)]
    assert auroc_difference(one, other, present, images)["method"] == "DeLong 1988"
    assert auroc_difference(one, other, present, patients)["method"] == "Obuchowski 1997"


def test_the_order_of_cases_does_not_matter():
    one, other, present, patients = cases()
    order = np.random.default_rng(1).permutation(60)
    mixed = [patients[i] for i in order]
    assert standard_error(one[order], present[order], mixed) == pytest.approx(
        standard_error(one, present, patients)
    )
    assert auroc_difference(one[order], other[order], present[order], mixed) == pytest.approx(
        auroc_difference(one, other, present, patients)
    )


@pytest.mark.parametrize(
    "present", [np.ones(3, bool), np.zeros(3, bool), np.ones(1, bool), np.zeros(0, bool)]
)
def test_without_both_classes_nothing_is_defined(present):
    scores, patients = np.arange(len(present), dtype=float), [str(i) for i in range(len(present))]
    found = auroc_difference(scores, scores, present, patients)
    assert found["value"] is None
    assert "needs one of each" in found["reason"]
    assert found["low"] is None
    assert found["p"] is None


def test_a_class_of_one_patient_has_an_area_and_no_interval():
    scores, present = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False])
    found = auroc_difference(scores, -scores, present, ["a", "a", "b", "c"])
    assert found["value"] == 0.75 - 0.25
    assert found["low"] is None
    assert found["p"] is None
    assert "one patient" in found["reason"]


def test_models_that_order_alike_have_no_difference_to_judge():
    one, _, present, patients = cases()
    for other in (one, 3 * one + 1):
        found = auroc_difference(one, other, present, patients)
        assert found["value"] == 0
        assert found["p"] is None
        assert "no patient tells the models apart" in found["reason"]


def test_twenty_thousand_cases_take_no_pairs():
    """All pairs would be 10^8."""
    one, _, present, patients = cases(n=20_000, levels=10_000)
    assert 0 < standard_error(one, present, patients) < 0.01
