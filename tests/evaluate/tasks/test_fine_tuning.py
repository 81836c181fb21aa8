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
from medistill.evaluate.tasks.fine_tuning import fine_tune_results, validation_images
from medistill.evaluate.tasks.training import RowImages, Training, training_studies
from medistill.system.json_files import canonical_json
from tests.conftest import tiny_model
from tests.evaluate.conftest import sample_of

NAMES = [f"fine_tune_auroc_macro@{share}" for share in ("1%", "10%", "100%")]


@pytest.fixture(scope="module")
def opened(tiny_corpus):
    return open_corpus(tiny_corpus)


@pytest.mark.slow
def test_a_share_is_ranked_by_a_model_fine_tuned_on_its_studies(opened):
    sample = sample_of(opened.split("test"))
    studies, chosen = sample.studies, np.arange(30)
    rows, own = training_studies(opened, sample)
    training = Training(
        embeddings=np.zeros((len(own), 2), np.float32),
        labels=own.labels,
        patient_ids=own.patient_ids,
        images=RowImages(rows, own.rows),
        shares=[ShareDraw("10%", 0, 30, chosen)],
    )
    model, heard = tiny_model(), []
    results = fine_tune_results(model, opened, training, sample, lambda *news: heard.append(news))
    validation = validation_images(opened, "test", {*own.patient_ids, *studies.patient_ids})
    where = own.rows[chosen].tolist()
    tuned = FineTune(model).fit([rows.image(row) for row in where], rows.labels[where], validation=validation)
    scores = tuned.decision_function(RowImages(sample.rows, studies.rows))
    for f in range(2):
        np.testing.assert_allclose(results[NAMES[1]].scores[f][0], scores[stated(studies.labels, f), f])
    assert heard[-1] == ("fine-tuning rounds", 20, 20)
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
    assert 0 <= few[NAMES[2]]["value"] <= 1
    assert few[NAMES[2]]["low"] is None  # of fewer than ten patients on a side
    probed = {name: few[name.removeprefix("fine_tune_")]["n_train_patients"] for name in NAMES}
    assert {name: few[name]["n_train_patients"] for name in NAMES} == probed
    rounds = [(done, total) for what, done, total in told if what == "fine-tuning rounds"]
    assert rounds[-1][0] == rounds[-1][1]
    shares = draw_shares(*_labels(opened), draws=2, seed=0)
    assert rounds[-1][1] == 20 * len(shares)


def _labels(opened):
    studies = studies_of(opened.split("train"))
    return studies.labels, studies.patient_ids, opened.findings
