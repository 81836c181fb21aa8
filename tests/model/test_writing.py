"""A question in a script that no token of the model is of gets a warning beside its figure."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from medistill.evaluate.prompts.prompts import embed_prompts, template
from medistill.model.embedder import UnitEmbedder
from medistill.model.writing import scripts, unseen_scripts, warn_of_writing
from medistill.serve.app.judging import judged_plainly
from tests.conftest import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pleuraerguß", {"LATIN"}),
        ("выпот", {"CYRILLIC"}),
        ("胸水が", {"CJK", "HIRAGANA"}),
        ("흉수", {"HANGUL"}),
        ("انصباب", {"ARABIC"}),
        ("T2 1.5 ±", {"LATIN"}),
    ],
)
def test_scripts_are_those_of_letters(text, expected):
    assert scripts(text) == expected


@pytest.mark.parametrize("name", ["胸水", "выпот", "흉수", "تجمع"])
def test_a_finding_in_a_script_never_seen_is_warned_of(model, name, caplog):
    embed_prompts(UnitEmbedder(model), {name: template(name), "effusion": template("effusion")})
    assert f"'{name}' is asked for in a script that the model has never seen" in caplog.text
    assert "effusion" not in caplog.text


@pytest.mark.parametrize("name", ["effusion", "Pleuraerguß", "épanchement", "1", "edema, 5 mm"])
def test_a_finding_in_a_script_that_it_knows_is_not(model, name, caplog):
    embed_prompts(UnitEmbedder(model), {name: template(name)})
    assert not caplog.records


def test_tokens_of_bytes_are_read_before_they_are_judged(caplog):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["выпот есть, выпота нет"] * 5, trainer)
    holder = type("Model", (), {"tokenizer": tokenizer})()
    warn_of_writing(holder, {"a": ["выпот"], "b": ["effusion"]})
    assert not caplog.records
    warn_of_writing(holder, {"c": ["胸水"]})
    assert "'c' is asked for" in caplog.text


def test_a_model_without_a_vocabulary_that_can_be_read_is_passed_over(caplog):
    warn_of_writing(object(), {"胸水": ["胸水"]})
    assert not caplog.records


def test_a_served_score_of_such_a_finding_says_so(model):
    embedder = UnitEmbedder(model)
    row = np.zeros(8, np.float32)
    strange = judged_plainly(row, row, 1.0, unseen_scripts(embedder, ["胸水"]))
    assert "The model has never seen this script (cjk)" in strange.basis
    known = judged_plainly(row, row, 1.0, unseen_scripts(embedder, ["effusion"]))
    assert known.basis.startswith("Not calibrated")
