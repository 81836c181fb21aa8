"""Which image stands for a study, and how prompts become one embedding."""

from types import SimpleNamespace

import numpy as np

from medistill.data.studies import studies_of
from medistill.evaluate.prompts.embedded import embed_prompts
from medistill.model.embedding import embed_images


def test_a_study_is_shown_by_its_first_frontal_image(corpus):
    rows = corpus.split("test")
    rows.study_ids[:4] = ["a", "a", "a", "b"]
    rows.texts[:3] = [rows.texts[0]] * 3
    rows.views[:4] = ["lateral", "AP", "PA", "lateral"]
    studies = studies_of(rows)
    assert studies.study_ids[:2] == ("a", "b")
    assert studies.rows[:2].tolist() == [1, 3]


def test_studies_come_in_the_order_of_their_ids_whatever_that_of_the_rows(corpus):
    rows = corpus.split("test")
    straight, mixed = studies_of(rows), studies_of(rows.shuffled(1))
    assert straight.study_ids == mixed.study_ids
    assert straight.texts == mixed.texts
    np.testing.assert_array_equal(straight.labels, mixed.labels)


def test_progress_counts_every_image_once(corpus, knowing):
    counted: list[int] = []
    embedded = embed_images(knowing, corpus.split("test"), range(100), counted.append)
    assert embedded.shape == (100, 16)
    assert sum(counted) == 100


def test_a_side_of_a_finding_is_the_unit_mean_of_its_prompts(knowing):
    texts = ["alpha", "alpha and beta", "no gamma"]
    positive, negative = embed_prompts(knowing, {"alpha": {"positive": texts[:2], "negative": texts[2:]}})
    mean = knowing.encode_texts(texts[:2]).mean(axis=0)
    np.testing.assert_allclose(positive[0], mean / np.linalg.norm(mean), rtol=1e-5)
    np.testing.assert_allclose(negative, knowing.encode_texts(texts[2:]), rtol=1e-5)


def test_a_study_whose_images_have_texts_of_their_own_counts_once_a_text():
    rows = SimpleNamespace(
        study_ids=["a", "a", "a", "b"],
        patient_ids=["p", "p", "p", "q"],
        texts=["Axial slice.", "Coronal slice.", "axial slice", "Axial slice."],
        views=[None] * 4,
        labels=np.zeros((4, 1), np.float32),
    )
    studies = studies_of(rows)
    assert studies.rows.tolist() == [0, 1, 3]
    assert studies.study_ids == ("a", "a", "b")
