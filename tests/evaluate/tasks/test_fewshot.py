"""Few-shot figures, from draws to macro AUROC and accuracy."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medistill.evaluate.probes.linear_probe import LinearProbe
from medistill.evaluate.probes.lpp import LPPlusPlus
from medistill.evaluate.statistics.interval import patient_weights
from medistill.evaluate.statistics.resample import over_draws
from medistill.evaluate.tasks.draws import draw_classes, draw_shares, draw_shots
from medistill.evaluate.tasks.fewshot import (
    class_results,
    few_shot,
    probe_results,
    share_results,
    shot_results,
)
from medistill.evaluate.tasks.fewshot_figures import (
    Guesses,
    Ranking,
    few_shot_metrics,
    stated,
)
from medistill.evaluate.tasks.training import Training, training_of, training_studies
from medistill.model.embedder import UnitEmbedder
from tests.evaluate.conftest import sample_of

FINDINGS = ("alpha", "beta")
SHARES = ("1%", "10%", "100%")


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def labeled(n=200, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1, np.nan], (n, 2), p=[0.3, 0.5, 0.1, 0.1]).astype(np.float32)
    return labels, [f"{i // 2:03d}" for i in range(n)]


def drawn(embeddings, labels, patients):
    return Training(
        embeddings=embeddings,
        labels=labels,
        patient_ids=patients,
        shots=draw_shots(labels, patients, FINDINGS, draws=3, seed=0),
        shares=draw_shares(labels, patients, FINDINGS, draws=3, seed=0),
    )


@pytest.fixture
def seen():
    """Training and cases whose embeddings tell a little, and texts."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((2, 8))
    parts = []
    for seed in (1, 2):
        labels, patients = labeled(seed=seed)
        rows = rng.standard_normal((200, 8)) + np.nan_to_num(labels).clip(0) @ directions
        parts.append((unit(rows), labels, patients))
    (train, train_labels, train_patients), (images, labels, patients) = parts
    sides = unit(directions), unit(rng.standard_normal((2, 8)) - directions)
    return drawn(train, train_labels, train_patients), images, labels, patients, sides


def measured(results, labels, patients, resamples=50):
    return few_shot_metrics(results, labels, patients, patient_weights(patients, resamples, seed=0), seed=0)


def test_a_macro_auroc_is_the_mean_over_draws_then_findings_of_scikit_learns(seen):
    training, images, labels, patients, sides = seen
    found = measured(shot_results(training, images, labels, sides), labels, patients)
    for k in (1, 4, 16):
        for name in ("auroc_macro", "auroc_macro_lpp"):
            means = []
            for f in range(2):
                cases = np.isin(labels[:, f], (0, 1))
                areas = []
                for draw in (d for d in training.shots if d.k == k and d.finding == f):
                    texts = np.stack([sides[1][f], sides[0][f]])
                    made = LPPlusPlus(texts) if name.endswith("lpp") else LinearProbe()
                    made.fit(training.embeddings[draw.studies], np.repeat([1, 0], k))
                    areas.append(roc_auc_score(labels[cases, f], made.decision_function(images[cases])))
                means.append(np.mean(areas))
            assert len(areas) == 3
            assert found[f"{name}@{k}"]["value"] == pytest.approx(np.mean(means), abs=1e-9)


def test_a_share_is_scored_by_a_probe_on_all_stated_studies_of_its_patients(seen):
    training, images, labels, patients, _ = seen
    found = measured(share_results(training, images, labels), labels, patients)
    means = []
    for f in range(2):
        own, cases = np.isin(training.labels[:, f], (0, 1)), np.isin(labels[:, f], (0, 1))
        groups = np.array(training.patient_ids)[own]
        probe = LinearProbe((1.0, 0.1, 10.0, 100.0, 1000.0))
        probe.fit(training.embeddings[own], training.labels[own, f], groups=groups)
        means.append(roc_auc_score(labels[cases, f], probe.decision_function(images[cases])))
    assert found["auroc_macro@100%"]["value"] == pytest.approx(np.mean(means), abs=1e-9)
    assert (found["auroc_macro@100%"]["n_draws"], found["auroc_macro@10%"]["n_draws"]) == (1, 3)
    assert found["auroc_macro@100%"]["n_train_patients"] == len(set(groups) | set(training.patient_ids))


def test_studies_of_one_patient_do_not_choose_the_strength_of_their_probe():
    rng = np.random.default_rng(0)
    twins = np.repeat(unit(rng.standard_normal((100, 60))), 2, axis=0)
    labels = np.repeat(rng.integers(0, 2, (100, 2)), 2, axis=0).astype(np.float32)  # nothing to be learned
    patients = [f"{i // 2:03d}" for i in range(200)]
    training = drawn(twins, labels, patients)
    found = share_results(training, twins, labels)["auroc_macro@100%"].scores[0][0]
    weakest = LinearProbe((0.1,)).fit(twins, labels[:, 0]).decision_function(twins)
    np.testing.assert_allclose(found, weakest, atol=1e-6)


def test_telling_embeddings_score_one_and_random_ones_one_half():
    labels, patients = labeled()
    rng = np.random.default_rng(2)
    telling = unit(np.concatenate([np.nan_to_num(labels).clip(0) * 2 - 1, np.ones((200, 1))], axis=1))
    texts = unit(np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    results = probe_results(drawn(telling, labels, patients), telling, labels, (texts, -texts))
    perfect = measured(results, labels, patients)
    for name in ("auroc_macro@16", "auroc_macro_lpp@16", "auroc_macro@10%", "auroc_macro@100%"):
        assert perfect[name]["value"] == pytest.approx(1)
    other, blind = (unit(rng.standard_normal((200, 3))) for _ in range(2))
    results = probe_results(drawn(other, labels, patients), blind, labels, (texts, -texts))
    for name, entry in measured(results, labels, patients).items():
        assert entry["low"] < 0.5 < entry["high"], name
        assert entry["n_findings"] == 2


def test_without_training_patients_every_figure_is_not_defined_and_says_why():
    labels, patients = labeled()
    nothing = Training(
        embeddings=np.zeros((0, 3), np.float32), labels=np.zeros((0, 2), np.float32), patient_ids=()
    )
    sides = (np.eye(2, 3, dtype=np.float32),) * 2
    found = measured(probe_results(nothing, np.zeros((200, 3), np.float32), labels, sides), labels, patients)
    assert {entry["value"] for entry in found.values()} == {None}
    assert "16 + 16" in found["auroc_macro@16"]["reason"]
    assert "1%" in found["auroc_macro@1%"]["reason"]


def test_a_finding_without_both_classes_among_the_cases_is_left_out(seen):
    training, images, labels, patients, sides = seen
    labels[:, 0] = np.where(labels[:, 0] == 1, np.nan, labels[:, 0])
    assert not len(stated(labels, 0))
    found = measured(probe_results(training, images, labels, sides), labels, patients)
    assert {entry["n_findings"] for entry in found.values()} == {1}


@pytest.fixture
def classes():
    """60 studies of three classes, as many to test on, and texts that know them."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3
    centers = np.eye(3, 6)
    labels = np.eye(3, dtype=np.float32)[truth]
    train, images = (unit(centers[truth] + 0.5 * rng.standard_normal((60, 6))) for _ in range(2))
    patients = [str(i) for i in range(60)]
    draws = draw_classes(labels, patients, ("a", "b", "c"), draws=4, seed=0)
    training = Training(embeddings=train, labels=labels, patient_ids=patients, classes=draws)
    return training, images, labels, patients, unit(centers)


def test_accuracy_is_the_share_of_cases_whose_class_is_named(classes):
    training, images, labels, patients, texts = classes
    truth = labels.argmax(axis=1)
    labels = np.concatenate([np.full((1, 3), np.nan, np.float32), labels])  # a case that has no class
    cases, patients = np.concatenate([images[:1], images]), ["none", *patients]
    results = class_results(training, cases, labels, texts)
    found = measured(results, labels, patients)
    classed_only = few_shot_metrics(
        results, labels[1:], patients[1:], patient_weights(patients, 50, seed=0)[1:], seed=0
    )
    for k in (1, 4, 16):
        for name, made in (("accuracy", LinearProbe()), ("accuracy_lpp", LPPlusPlus(texts))):
            shares = [
                made.fit(training.embeddings[d.studies], np.repeat([0, 1, 2], k)).score(images, truth)
                for d in training.classes
                if d.k == k
            ]
            entry = found[f"{name}@{k}"]
            assert entry["value"] == pytest.approx(np.mean(shares))
            assert (entry["n_images"], entry["n_draws"], entry["n_classes"]) == (60, 4, 3)
            assert entry["low"] < entry["value"] < entry["high"] or k == 16
            assert entry == classed_only[f"{name}@{k}"]


def test_accuracy_is_reported_for_classes_only(classes, seen):
    training, images, labels, _, texts = classes
    assert "accuracy@4" in probe_results(training, images, labels, (texts, -texts))
    empty = Training(embeddings=images[:0], labels=labels[:0], patient_ids=())
    assert not probe_results(empty, images, labels, (texts, -texts))["accuracy@4"].right.size
    labels = labels.copy()
    labels[0] = 1
    assert "accuracy@4" not in probe_results(training, images, labels, (texts, -texts))
    assert "accuracy@4" not in probe_results(*seen[:3], seen[4])
    mixed = Training(embeddings=training.embeddings, labels=1 - training.labels, patient_ids=())
    assert "accuracy@4" not in probe_results(mixed, images, training.labels, (texts, -texts))


def test_a_class_with_too_few_patients_leaves_accuracy_not_defined(classes):
    training, images, labels, patients, texts = classes
    some = Training(
        embeddings=training.embeddings,
        labels=training.labels,
        patient_ids=patients,
        classes=[draw for draw in training.classes if draw.k == 1],
    )
    found = measured(class_results(some, images, labels, texts), labels, patients)
    assert found["accuracy@1"]["value"] is not None
    assert found["accuracy@4"]["value"] is None
    assert "4 patients" in found["accuracy_lpp@4"]["reason"]


def test_a_patient_among_the_cases_is_never_trained_on(corpus):
    train, test = corpus.split("train"), corpus.split("test")
    leaked = set(train.patient_ids[:40])
    test.patient_ids[:40] = train.patient_ids[:40]
    _, studies = training_studies(corpus, sample_of(test))
    assert leaked and not leaked & set(studies.patient_ids)
    assert set(studies.patient_ids) | leaked == set(train.patient_ids)


def test_the_training_split_does_not_train_for_itself(corpus):
    assert training_studies(corpus, sample_of(corpus.split("test"), split="train")) is None


def test_only_what_is_drawn_is_embedded_and_embeddings_stay_with_their_studies(corpus, knowing):
    train = corpus.split("train")
    train.labels[::2] = np.nan
    heard = []
    sample = sample_of(corpus.split("test"), np.zeros((120, 16), np.float32))
    training = training_of(
        UnitEmbedder(knowing), corpus, sample, draws=2, on_progress=lambda *news: heard.append(news)
    )
    labeled_studies = np.isfinite(training.labels).any(axis=1)
    assert (np.linalg.norm(training.embeddings, axis=1) > 0.9).tolist() == labeled_studies.tolist()
    assert heard[-1] == ("training images", labeled_studies.sum(), labeled_studies.sum())
    own = knowing.encode_images([training.images[place] for place in range(len(training.images))])
    np.testing.assert_allclose(training.embeddings[labeled_studies], own[labeled_studies])


def test_results_do_not_depend_on_the_order_of_the_training_rows(corpus, blind):
    rows = corpus.split("test")
    images = blind.encode_images([rows.image(row) for row in sample_of(rows).studies.rows])
    sides = (blind.encode_texts(["alpha", "beta", "gamma"]), blind.encode_texts(["no alpha"] * 3))

    def figures():
        return few_shot(UnitEmbedder(blind), corpus, sample_of(rows, images), sides, draws=2)

    first = figures()
    corpus.rows["train"] = corpus.rows["train"].shuffled(5)
    second = figures()
    assert first == second
    for name, entry in first.items():
        np.testing.assert_array_equal(entry.spread, second[name].spread)


def test_the_interval_widens_with_the_spread_of_draws():
    areas = np.repeat(np.array([[0.6], [0.9]]), 101, axis=1)
    assert over_draws(areas, seed=0)[0] == pytest.approx(0.75)
    assert set(np.round(over_draws(areas, seed=0)[1:], 6)) == {0.6, 0.75, 0.9}


def test_figures_of_an_empty_ranking_and_of_no_guess_are_not_defined():
    labels, patients = labeled()
    results = {
        "ranked": Ranking(reason="nobody ranked"),
        "guessed": Guesses(reason="nobody guessed", right=np.zeros((0, 9), bool), counts={}),
    }
    found = measured(results, labels, patients)
    assert [(e["value"], e["reason"]) for e in found.values()] == [
        (None, "nobody ranked"),
        (None, "nobody guessed"),
    ]
