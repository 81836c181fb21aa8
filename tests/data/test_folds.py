"""Folds: every patient tested on once, and never where anything of the patient was trained on."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from medistill.data.corpus import training_rows
from medistill.data.folds import Fold, FoldedCorpus, as_trained_on, fold_account, in_fold
from medistill.data.split import fold_of, fold_split

FOLDS = 5
PATIENTS = [f"patient {number}" for number in range(4000)]
SPELLINGS = ("ward {}", "WARD-{}", "ward 0{}")
"""Of one id."""


@pytest.fixture
def spelled(write, study):
    """Three studies a patient, each with a spelling of its own; two images each, with own splits."""
    return write(
        [
            study(
                3 * number + turn,
                patient_id=spelling.format(number),
                views=("PA", "lateral"),
                text=f"Report {number}.{turn}",
            )
            for number in range(60)
            for turn, spelling in enumerate(SPELLINGS)
        ],
        val=0.15,
        test=0.2,
    )


def rows_of(corpus, fold):
    """The rows of each split in that fold."""
    folded = in_fold(corpus, fold=fold, folds=FOLDS)
    return {name: set(folded.split(name).indices.tolist()) for name in folded.splits}


def test_every_patient_is_tested_in_one_fold_and_folds_are_of_one_size():
    tested = [
        [patient for patient in PATIENTS if fold_split(patient, fold=fold, folds=FOLDS, val=0.2) == "test"]
        for fold in range(FOLDS)
    ]
    assert sorted(patient for fold in tested for patient in fold) == sorted(PATIENTS)
    assert all(fold_of(patient, FOLDS) == number for number, fold in enumerate(tested) for patient in fold)
    np.testing.assert_allclose([len(fold) / len(PATIENTS) for fold in tested], 1 / FOLDS, atol=0.02)


@pytest.mark.parametrize("val", [0.1, 0.2, 0.4])
def test_the_share_asked_for_is_validated_on_and_is_of_the_next_folds(val):
    for fold in range(FOLDS):
        split = {patient: fold_split(patient, fold=fold, folds=FOLDS, val=val) for patient in PATIENTS}
        others = [patient for patient in PATIENTS if split[patient] != "test"]
        validated = [patient for patient in others if split[patient] == "val"]
        assert len(validated) / len(others) == pytest.approx(val, abs=0.02)
        behind = {(fold_of(patient, FOLDS) - fold) % FOLDS for patient in validated}
        assert behind == ({1} if val <= 1 / (FOLDS - 1) else {1, 2})


def test_no_row_of_a_patient_is_in_two_splits_of_a_fold_or_tested_twice(spelled):
    tested = [rows_of(spelled, fold)["test"] for fold in range(FOLDS)]
    assert sorted(row for fold in tested for row in fold) == list(range(spelled.table.num_rows))
    for fold in range(FOLDS):
        folded = in_fold(spelled, fold=fold, folds=FOLDS)
        numbers = {
            name: {text.split()[1].split(".")[0] for text in folded.split(name).texts}
            for name in folded.splits
        }
        assert sum(map(len, numbers.values())) == 60 == len(set.union(*numbers.values()))
        assert all(numbers.values())


def test_the_corpus_is_asked_and_not_its_own_splits(spelled):
    own = set(spelled.split("train").indices.tolist())
    assert any(rows_of(spelled, fold)["test"] & own for fold in range(FOLDS))
    assert in_fold(spelled, fold=0, folds=0) is spelled


def test_as_large_a_share_is_validated_on_as_in_the_corpus(spelled):
    people = [len(set(spelled.split(name).patient_ids)) for name in ("train", "val")]
    folded = in_fold(spelled, fold=2, folds=FOLDS)
    assert folded.validated == people[1] / sum(people)


def test_a_corpus_without_validation_leaves_a_tenth_for_it(write, study):
    corpus = write([study(number, split="train") for number in range(300)])
    folded = in_fold(corpus, fold=1, folds=FOLDS)
    train, val = training_rows(folded)
    assert len(val) / (len(train) + len(val)) == pytest.approx(0.1, abs=0.04)
    assert not {*train.patient_ids, *val.patient_ids} & set(folded.split("test").patient_ids)


def test_the_card_counts_the_splits_of_the_fold_as_prepare_counts_its_own(write, study):
    given = [{"mass": int(number % 3 == 0)} if number % 2 else {"mass": -1} for number in range(80)]
    corpus = write(
        [study(number, patient_id=f"p{number // 2}", labels=labels) for number, labels in enumerate(given)],
        findings=["mass"],
        val=0.2,
        test=0.3,
    )
    own, card = corpus.card["splits"], in_fold(corpus, fold=1, folds=FOLDS).counted_card
    assert card["sha256"] == corpus.card["sha256"]
    assert {frozenset(split) for split in (*own.values(), *card["splits"].values())} == {
        frozenset(own["train"])
    }
    for split in ({**own}, {**card["splits"]}):
        assert sum(counts["images"] for counts in split.values()) == 80
        assert sum(counts["patients"] for counts in split.values()) == 40
        assert sum(counts["findings"]["mass"]["present"] for counts in split.values()) == 13
        assert sum(counts["findings"]["mass"]["uncertain"] for counts in split.values()) == 40
    tested = {patient for patient in {f"p{i}" for i in range(40)} if fold_of(patient, FOLDS) == 1}
    assert card["splits"]["test"]["patients"] == len(tested)


def test_a_worker_process_gets_the_same_fold(spelled):
    folded = in_fold(spelled, fold=3, folds=FOLDS)
    sent = pickle.loads(pickle.dumps(folded))
    assert isinstance(sent, FoldedCorpus)
    assert sent.fold == Fold(3, FOLDS)
    np.testing.assert_array_equal(sent.split_names, folded.split_names)
    assert len(pickle.dumps(folded.split("train"))) < 20_000


def test_a_model_is_tested_on_the_fold_it_was_not_trained_on_and_on_other_corpora_as_they_are(spelled):
    left_out = {"fold": 3, "folds": FOLDS, "corpus": spelled.card["sha256"]}
    found = as_trained_on(spelled, SimpleNamespace(left_out=left_out))
    assert fold_account(found) == {"fold": 3, "folds": FOLDS}
    another = SimpleNamespace(left_out={**left_out, "corpus": "another"})
    for model in (another, SimpleNamespace(left_out=None), SimpleNamespace()):
        assert as_trained_on(spelled, model) is spelled
        assert fold_account(spelled) == {}
