"""Ranks, recall and precision against brute force."""

from math import comb
from types import SimpleNamespace

import numpy as np
import pytest

from medistill.data.studies import Studies, gallery_of
from medistill.data.study import NO_REPORT
from medistill.evaluate.statistics.interval import patient_weights
from medistill.evaluate.tasks.retrieval import (
    chance_recall,
    first_ranks,
    mean_cosine,
    relevant_texts,
    retrieval_metrics,
    retrieval_of,
    validation_metrics,
)
from medistill.model.embedding import reported_of


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def evaluated(images, reports, texts, labels=None, resamples=20):
    n = len(texts)
    labels = np.full((n, 1), np.nan, np.float32) if labels is None else labels
    patients = [f"{i // 2:03d}" for i in range(n)]
    weights = patient_weights(patients, resamples, seed=0)
    return retrieval_metrics(images, reports, gallery_of(texts), labels, patients, weights)


def brute_rank(row, positive):
    best = max(s for s, p in zip(row, positive, strict=True) if p)
    return 1 + sum(s >= best and not p for s, p in zip(row, positive, strict=True))


def test_ranks_equal_a_loop_with_ties_and_several_positives():
    rng = np.random.default_rng(0)
    similar = rng.integers(0, 6, (40, 25)).astype(np.float32)
    positive = rng.random((40, 25)) < 0.15
    positive[np.arange(40), rng.integers(0, 25, 40)] = True
    expected = [brute_rank(row, own) for row, own in zip(similar, positive, strict=True)]
    np.testing.assert_array_equal(first_ranks(similar, positive), expected)


@pytest.mark.parametrize(("p", "n", "k"), [(1, 50, 10), (3, 50, 10), (45, 50, 10), (2, 5, 10), (1, 1, 1)])
def test_chance_is_one_less_the_share_of_draws_that_miss(p, n, k):
    k_drawn = min(k, n)
    expected = 1 - comb(n - p, k_drawn) / comb(n, k_drawn)
    assert chance_recall(np.array([p]), n, k)[0] == pytest.approx(expected)


def test_recall_equals_a_loop_in_both_directions():
    texts = [f"report {i % 30}" for i in range(40)]
    rows = normals(40, 8)
    images, reports = unit(rows), unit(rows[:30] + normals(30, 8, seed=1) + 0.5)
    found = evaluated(images, reports, texts)
    own = np.array([[i % 30 == g for g in range(30)] for i in range(40)])
    similar = images @ reports.T
    ranks = np.array([brute_rank(s, p) for s, p in zip(similar, own, strict=True)])
    text_ranks = np.array([brute_rank(s, p) for s, p in zip(similar.T, own.T, strict=True)])
    expected = {f"i2t_r@{k}": (ranks <= k).mean() for k in (1, 5, 10)}
    expected |= {f"t2i_r@{k}": (text_ranks <= k).mean() for k in (1, 5, 10)}
    expected["rsum"] = sum(expected.values())
    expected |= {"i2t_mean_rank": ranks.mean(), "i2t_median_rank": np.median(ranks)}
    alone = np.arange(10, 30)  # reports of one study each, and those studies
    expected |= {f"i2t_r@{k}_unique": (ranks[alone] <= k).mean() for k in (1, 5, 10)}
    expected |= {f"t2i_r@{k}_unique": (text_ranks[alone] <= k).mean() for k in (1, 5, 10)}
    expected["mean_r@10_unique"] = ((ranks[alone] <= 10).mean() + (text_ranks[alone] <= 10).mean()) / 2
    expected["chance_r@10"] = 1 / 3
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected)
    assert all(found[f"i2t_r@{k}_unique"]["value"] != found[f"t2i_r@{k}_unique"]["value"] for k in (1, 5, 10))
    assert found["i2t_r@10_unique"]["n_images"] == found["mean_r@10_unique"]["n_images"] == 20


def test_every_resample_equals_a_loop_over_the_queries_drawn():
    """Image to text repeats the studies; a text asks as often as its studies were drawn on average."""
    texts = [f"report {i % 30}" for i in range(40)]
    labels = (normals(40, 3, seed=5) > 0).astype(np.float32)
    images, reports = unit(normals(40, 8)), unit(normals(30, 8, seed=1))
    found = evaluated(images, reports, texts, labels)
    own = np.array([[i % 30 == g for g in range(30)] for i in range(40)])
    similar = images @ reports.T
    ranks = np.array([brute_rank(s, p) for s, p in zip(similar, own, strict=True)])
    text_ranks = np.array([brute_rank(s, p) for s, p in zip(similar.T, own.T, strict=True)])
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :10]
    relevant = relevant_texts(labels, gallery_of(texts))
    precision = np.array([relevant[i, nearest[i]].mean() for i in range(40)])
    weights = patient_weights([f"{i // 2:03d}" for i in range(40)], 20, seed=0).astype(int)
    for resample in (1, 20):
        drawn = np.repeat(np.arange(40), weights[:, resample])
        asks = np.array([weights[own[:, g], resample].mean() for g in range(30)])
        expected = {
            "i2t_r@1": (ranks[drawn] <= 1).mean(),
            "i2t_r@10": (ranks[drawn] <= 10).mean(),
            "t2i_r@5": np.average(text_ranks <= 5, weights=asks),
            "t2i_r@10_unique": np.average(text_ranks[10:30] <= 10, weights=weights[10:30, resample]),
            "i2t_mean_rank": ranks[drawn].mean(),
            "i2t_median_rank": np.median(ranks[drawn]),
            "i2t_p@10": precision[drawn].mean(),
        }
        spreads = {name: found[name].spread[resample - 1] for name in expected}
        assert spreads == pytest.approx(expected, abs=1e-6)


def test_one_study_alone_has_its_figures_or_reasons():
    one = unit(normals(1, 8))
    found = evaluated(one, one, ["report"], np.ones((1, 1), np.float32))
    assert found["i2t_r@1"]["value"] == found["i2t_median_rank"]["value"] == 1
    assert "fewer than 5" in found["i2t_p@5"]["reason"]


def test_reports_that_read_the_same_are_one():
    gallery = gallery_of(["No effusion.", "Normal", "no  EFFUSION", "normal!"])
    assert gallery.texts == ("No effusion.", "Normal")
    np.testing.assert_array_equal(gallery.text_of, [0, 1, 0, 1])


def test_a_perfect_model_recalls_all():
    rows = unit(normals(30, 8))
    found = evaluated(rows, rows, [f"report {i}" for i in range(30)])
    assert found["rsum"]["value"] == 6
    assert found["i2t_mean_rank"]["value"] == 1


def test_a_collapsed_model_recalls_nothing():
    rows = np.repeat(unit(normals(1, 7)), 64, axis=0)
    found = evaluated(rows, rows, [f"report {i}" for i in range(64)])
    assert found["i2t_r@10"]["value"] == 0
    assert found["t2i_r@10"]["value"] == 0


def test_a_detector_of_normal_is_no_retriever_of_unique_reports():
    texts = ["normal"] * 20 + [f"report {i}" for i in range(20)]
    one, other = np.eye(8, dtype=np.float32)[:2]
    images = np.stack([one] * 20 + [other] * 20)
    found = evaluated(images, np.stack([one] + [other] * 20), texts)
    assert found["i2t_r@1"]["value"] == 0.5
    assert found["i2t_r@10_unique"]["value"] == 0


def test_without_a_unique_report_its_recall_is_not_defined():
    found = evaluated(unit(normals(4, 8)), unit(normals(1, 8)), ["normal"] * 4)
    assert found["i2t_r@10_unique"]["value"] is None
    assert found["i2t_r@1"]["value"] == 1


def test_relevant_reports_share_a_finding_or_are_normal_too():
    nan = np.nan
    labels = np.array([[1, 0], [0, 1], [0, 0], [1, 1], [nan, nan], [0, -1], [0, nan]], np.float32)
    relevant = relevant_texts(labels, gallery_of([f"report {i}" for i in range(7)]))
    expected = np.zeros((7, 7), bool)
    for a, b in [(0, 0), (1, 1), (2, 2), (3, 3), (6, 6), (0, 3), (1, 3), (2, 6)]:
        expected[a, b] = expected[b, a] = True
    np.testing.assert_array_equal(relevant, expected)


def test_precision_equals_a_loop():
    rng = np.random.default_rng(2)
    labels = (rng.random((50, 3)) < 0.4).astype(np.float32)
    labels[:5] = np.nan
    images, reports = unit(normals(50, 8)), unit(normals(50, 8, seed=1))
    found = evaluated(images, reports, [f"report {i}" for i in range(50)], labels)
    precision = []
    for query in range(5, 50):
        nearest = sorted(range(50), key=lambda g: -float(images[query] @ reports[g]))[:10]
        same = [
            bool((labels[query] * labels[g] == 1).any())
            or (labels[query].sum() == 0 and labels[g].sum() == 0)
            for g in nearest
        ]
        precision.append(np.mean(same))
    assert found["i2t_p@10"]["value"] == pytest.approx(np.mean(precision))
    assert found["i2t_p@10"]["n_images"] == 45
    assert "fewer than 100" in found["i2t_p@100"]["reason"]


def test_without_labels_precision_is_not_defined():
    found = evaluated(unit(normals(12, 8)), unit(normals(12, 8)), [f"report {i}" for i in range(12)])
    assert "no labels" in found["i2t_p@5"]["reason"]


def test_validation_gives_the_same_recall_as_evaluation():
    texts = [f"report {i % 30}" for i in range(40)]
    images, by_study = unit(normals(40, 8)), unit(normals(30, 8, seed=1))[np.arange(40) % 30]
    quick = validation_metrics(images, by_study, texts, [f"{i:03d}" for i in range(40)])
    full = evaluated(images, by_study[:30], texts)
    assert {k: quick[k] for k in ("i2t_r@10", "t2i_r@10", "chance_r@10")} == pytest.approx(
        {k: full[k]["value"] for k in ("i2t_r@10", "t2i_r@10", "chance_r@10")}
    )


def test_the_mean_cosine_is_that_of_the_more_collapsed_side():
    spread, same = np.eye(6, dtype=np.float32), np.ones((6, 6), np.float32) / np.sqrt(6, dtype=np.float32)
    names = [f"{i}" for i in range(6)]
    assert validation_metrics(spread, same, names, names)["mean_cosine"] == pytest.approx(1)
    rows = unit(normals(6, 4))
    pairs = [rows[i] @ rows[j] for i in range(6) for j in range(6) if i != j]
    assert mean_cosine(rows) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_a_study_weighs_what_its_patient_was_drawn_whoever_else_has_no_report():
    random = np.random.default_rng(0)
    texts = ["a", NO_REPORT, "b", NO_REPORT, "c", "a"]
    studies = Studies(
        rows=np.arange(6),
        study_ids=tuple("uvwxyz"),
        patient_ids=tuple("pppqqr"),
        texts=tuple(texts),
        labels=np.zeros((6, 1), np.float32),
    )
    images, weights = random.normal(size=(6, 4)).astype(np.float32), random.random((6, 9)).astype(np.float32)
    given = {
        "encode_images": lambda asked: asked,
        "encode_texts": lambda asked: normals(len(asked), 4).astype(np.float32),
    }
    reported = reported_of(SimpleNamespace(**given), studies, images)
    assert reported.places.tolist() == [0, 2, 4, 5]
    found = retrieval_of(reported, weights)
    given = (images[[0, 2, 4, 5]], reported.reports, gallery_of(["a", "b", "c", "a"]))
    whole = retrieval_metrics(*given, studies.labels[:4], tuple("ppqr"), weights[[0, 2, 4, 5]])
    defined = {name: entry for name, entry in whole.items() if entry["value"] is not None}
    assert {"i2t_r@1", "t2i_r@5", "i2t_r@10_unique"} <= set(defined)
    for name, entry in defined.items():
        np.testing.assert_array_equal(found[name].spread, entry.spread)
