"""Fine-tuning on shares of the training patients of a corpus."""

import json

import numpy as np
import pytest

from medistill.data.corpus import open_corpus
from medistill.data.studies import studies_of
from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.probes.fine_tune import FineTune
from medistill.evaluate.statistics.interval import patient_weights
from medistill.evaluate.tasks.draws import ShareDraw, draw_shares
from medistill.evaluate.tasks.fewshot_figures import few_shot_metrics, stated
from medistill.evaluate.tasks.fine_tuning import RowImages, fine_tune_results, validation_images
from medistill.evaluate.tasks.training import Training, training_studies
from medistill.system.json_files import canonical_json
from tests.conftest import tiny_model

NAMES = [f"fine_tune_auroc_macro@{share}" for share in ("1%", "10%", "100%")]


@pytest.fixture(scope="module")
def opened(tiny_corpus):
    return open_corpus(tiny_corpus)


def trained_on(found, shares):
    studies = found[1]
    nothing = np.zeros((len(studies), 2), np.float32)
    return Training(embeddings=nothing, labels=studies.labels, patient_ids=studies.patient_ids, shares=shares)


@pytest.mark.slow
def test_a_share_is_ranked_by_a_model_fine_tuned_on_its_studies(opened):
    rows = opened.split("test")
    studies = studies_of(rows)
    found = training_studies(opened, "test", studies.patient_ids)
    chosen = np.arange(30)
    training = trained_on(found, [ShareDraw("10%", 0, 30, chosen)])
    validation = validation_images(opened, "test", set())
    model, images, heard = tiny_model(), RowImages(rows, studies.rows), []
    results = fine_tune_results(
        model,
        training,
        found,
        validation,
        images,
        studies.labels,
        seed=0,
        told=lambda what, total: lambda done: heard.append((total, done)),
    )
    train, where = found[0], found[1].rows[chosen].tolist()
    tuned = FineTune(model).fit(
        [train.image(row) for row in where], train.labels[where], validation=validation
    )
    scores = tuned.decision_function(images)
    for f in range(2):
        np.testing.assert_allclose(results[NAMES[1]].scores[f][0], scores[stated(studies.labels, f), f])
    assert sum(done for _, done in heard) == heard[0][0] == 20
    weights = patient_weights(studies.patient_ids, 20, seed=0)
    metrics = few_shot_metrics(results, studies.labels, studies.patient_ids, weights, seed=0)
    assert metrics[NAMES[1]]["n_train_patients"] == 30
    assert [metrics[name]["value"] is None for name in NAMES] == [True, False, True]


def test_other_models_are_not_fine_tuned_and_the_figure_says_so(corpus, knowing):
    few = evaluate_model(knowing, corpus, resamples=5, draws=1, fine_tune=True).metrics["few_shot"]
    assert {few[name]["value"] for name in NAMES} == {None}
    assert all("KnowingModel" in few[name]["reason"] for name in NAMES)


def test_without_the_flag_nothing_is_fine_tuned(corpus, knowing):
    assert not set(NAMES) & set(evaluate_model(knowing, corpus, resamples=5, draws=1).metrics["few_shot"])


def test_validation_leaves_out_who_is_trained_or_scored_and_what_has_no_label(corpus):
    rows = corpus.split("val")
    rows.labels[0] = np.nan
    scored = set(rows.patient_ids[10:20])
    images, labels = validation_images(corpus, "test", scored)
    assert len(images) == len(labels) == len(rows) - 1 - 10
    assert validation_images(corpus, "val", set()) is None
    assert validation_images(corpus, "test", set(rows.patient_ids)) is None
    del corpus.rows["val"]
    assert validation_images(corpus, "test", set()) is None


def test_images_are_those_of_the_chosen_rows(corpus):
    rows = corpus.split("train")
    images = RowImages(rows, np.array([7, 3]))
    assert len(images) == 2
    np.testing.assert_array_equal(images[0], rows.image(7))


@pytest.mark.slow
def test_an_evaluation_with_fine_tuning_is_complete_and_repeats_byte_for_byte(opened):
    model, told = tiny_model(), []

    def evaluated():
        return evaluate_model(
            model, opened, resamples=20, draws=2, fine_tune=True, on_progress=lambda *a: told.append(a)
        )

    first = canonical_json(evaluated().metrics)
    assert canonical_json(evaluated().metrics) == first
    few = json.loads(first)["few_shot"]
    assert few[NAMES[2]]["low"] <= few[NAMES[2]]["value"] <= few[NAMES[2]]["high"]
    probed = {name: few[name.removeprefix("fine_tune_")]["n_train_patients"] for name in NAMES}
    assert {name: few[name]["n_train_patients"] for name in NAMES} == probed
    rounds = [(done, total) for what, done, total in told if what == "fine-tuning rounds"]
    assert rounds[-1][0] == rounds[-1][1]
    shares = draw_shares(*_labels(opened), draws=2, seed=0)
    assert rounds[-1][1] == 20 * len(shares)


def _labels(opened):
    studies = studies_of(opened.split("train"))
    return studies.labels, studies.patient_ids, opened.findings
