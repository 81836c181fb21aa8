"""The text of a pair: the corpus's own, a section, one of two anew each epoch, or a part of it."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from medistill.data.loader.wording import Wordings, wordings
from medistill.data.report.sentences import sentences

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
    return wordings(rows, section, seed=3).readings(places)[0]


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
    drawn = Wordings(texts, seed=0).readings(places)
    assert Wordings(texts, seed=0).readings(places[::-1]) == [drawn[0][::-1]]
    assert Wordings(texts, seed=1).readings(places) != drawn
    assert Wordings(texts, seed=0).readings(places + np.array([1, 0])) != drawn


def test_half_of_the_texts_are_cut_to_some_of_their_sentences_in_order():
    report = "One is large. Two is clear. Three has a 1.5 cm nodule. Four is normal."
    texts = Wordings([(report,), ("But one sentence.",)] * 2000, seed=0, part="sentences")
    places = np.array([[1, row] for row in range(4000)])
    said, whole = texts.readings(places)
    assert whole == [report, "But one sentence."] * 2000
    assert set(said[1::2]) == {"But one sentence."}
    cut = [text for text in said[::2] if text != report]
    assert 920 < len(cut) < 1080
    in_order = [subset for size in (1, 2, 3) for subset in combinations(sentences(report), size)]
    assert set(cut) == {" ".join(subset) for subset in in_order}
    by_size = Counter(len(sentences(text)) for text in cut)
    assert min(by_size[size] for size in (1, 2, 3)) > 250
    assert texts.readings(places[::-1])[0] == said[::-1]
    assert texts.readings(places + np.array([1, 0]))[0] != said
    assert len(texts.codes(places).unique()) == 2, "pairs are told apart by their whole texts"


def test_texts_are_fixed_unless_epochs_differ():
    assert Wordings([("A. B.",), ("C.",)], seed=0).fixed == ["A. B.", "C."]
    assert Wordings([("A. B.",), ("C.", "D.")], seed=0).fixed is None
    assert Wordings([("A. B.",), ("C.",)], seed=0, part="sentences").fixed is None


def test_codes_are_equal_where_the_normalized_texts_are():
    texts = Wordings([("Clear lungs.", "Large heart."), ("clear  LUNGS",), ("Large heart",)], seed=0)
    places = np.array([[epoch, row] for epoch in range(20) for row in range(3)])
    codes, (said,) = texts.codes(places), texts.readings(places)
    normal = ["clear" in text.lower() for text in said]
    assert {True, False} == set(normal[::3])
    assert torch.equal(codes[:, None] == codes, torch.tensor([[a == b for b in normal] for a in normal]))
