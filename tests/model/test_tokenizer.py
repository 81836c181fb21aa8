import pytest
import torch

from medistill.errors import MedistillError
from medistill.model.tokenizer import tokenize, train_tokenizer
from tests.conftest import tiny_texts

TEXTS = ["effusion on the left", "effusion on the right", "effusion seen by Dr Ypsilanti"]
PATIENTS = ["a", "b", "c"]


def test_a_word_of_too_few_patients_is_not_in_the_vocabulary():
    vocabulary = train_tokenizer(TEXTS, PATIENTS, vocabulary=500, min_patients=2).get_vocab()
    assert "effusion" in vocabulary
    assert not any("ypsi" in piece for piece in vocabulary)


def test_a_word_one_patient_repeats_is_not_in_the_vocabulary():
    tokenizer = train_tokenizer(
        ["ypsilanti"] * 30 + TEXTS, ["a"] * 30 + PATIENTS, vocabulary=500, min_patients=3
    )
    assert "ypsilanti" not in tokenizer.get_vocab()


def test_an_unknown_word_is_spelled_and_not_lost():
    tokenizer = train_tokenizer(TEXTS, PATIENTS, vocabulary=500, min_patients=2)
    ids, mask = tokenize(tokenizer, ["ypsilanti"], 32)
    assert tokenizer.token_to_id("[UNK]") not in ids[0].tolist()
    assert int(mask.sum()) > 3


def test_no_shared_word_is_an_error_that_names_the_flag():
    with pytest.raises(MedistillError, match="--min-patients"):
        train_tokenizer(TEXTS, PATIENTS, vocabulary=500, min_patients=20)


def test_texts_are_padded_to_the_longest_and_cut_at_the_limit():
    tokenizer = train_tokenizer(TEXTS, PATIENTS, vocabulary=500, min_patients=1)
    ids, mask = tokenize(tokenizer, ["effusion", "effusion on the left and on the right"], 6)
    assert ids.shape == mask.shape == (2, 6)
    assert mask.sum(dim=1).tolist() == [3, 6]


def test_the_same_texts_give_the_same_vocabulary():
    texts = tiny_texts(50)
    first, second = (train_tokenizer(texts, texts, vocabulary=200, min_patients=1) for _ in range(2))
    assert first.to_str() == second.to_str()
    assert torch.equal(tokenize(first, texts, 16)[0], tokenize(second, texts, 16)[0])
