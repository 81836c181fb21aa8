"""The text of a pair: the corpus's own, a section, or one of two anew each epoch."""

import numpy as np
import pytest
import torch

from medistill.data.loader.wording import Wordings, wordings

REPORTS = [
    ("Both.", "Heart is large.", "Large heart."),
    ("No parts.", None, None),
    ("One part.", None, "Normal."),
]


@pytest.fixture
def rows(write, study):
    studies = [
        study(number, text=text, findings=findings, impression=impression, split="train")
        for number, (text, findings, impression) in enumerate(REPORTS)
    ]
    return write(studies).split("train")


def said(rows, section, epoch=0):
    places = np.array([[epoch, row] for row in range(len(REPORTS))])
    return wordings(rows, section, seed=3).texts(places)


def test_a_section_is_trained_on_where_there_is_one(rows):
    assert said(rows, "text") == ["Both.", "No parts.", "One part."]
    assert said(rows, "findings") == ["Heart is large.", "No parts.", "One part."]
    assert said(rows, "impression") == ["Large heart.", "No parts.", "Normal."]


def test_each_epoch_draws_a_section_anew(rows):
    drawn = [said(rows, "random", epoch) for epoch in range(40)]
    assert {texts[0] for texts in drawn} == {"Heart is large.", "Large heart."}
    assert {tuple(texts[1:]) for texts in drawn} == {("No parts.", "Normal.")}
    assert said(rows, "random", 7) == drawn[7]


def test_a_draw_depends_on_epoch_row_and_seed_alone():
    texts = [("a", "b")] * 50
    places = np.array([[2, row] for row in range(50)])
    drawn = Wordings(texts, seed=0).texts(places)
    assert Wordings(texts, seed=0).texts(places[::-1]) == drawn[::-1]
    assert Wordings(texts, seed=1).texts(places) != drawn
    assert Wordings(texts, seed=0).texts(places + np.array([1, 0])) != drawn


def test_codes_are_equal_where_the_normalized_texts_are():
    texts = Wordings([("Clear lungs.", "Large heart."), ("clear  LUNGS",), ("Large heart",)], seed=0)
    places = np.array([[epoch, row] for epoch in range(20) for row in range(3)])
    codes, said = texts.codes(places), texts.texts(places)
    normal = ["clear" in text.lower() for text in said]
    assert {True, False} == set(normal[::3])
    assert torch.equal(codes[:, None] == codes, torch.tensor([[a == b for b in normal] for a in normal]))
