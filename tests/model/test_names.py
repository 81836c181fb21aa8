"""A name that many patients share enters the vocabulary, and is warned of."""

import pytest

from medistill.model.names import name_like
from medistill.model.tokenizer import train_tokenizer

PLAIN = ["The heart is normal in size and the lungs are clear of any consolidation."] * 20
TITLED = [
    "seen with Dr. Kowalczyk today",
    "Frau Öztürk war da",
    "Sr. García volvió",
    "Mrs. J. O'Neill was seen",
]


@pytest.mark.parametrize(
    ("text", "name"), list(zip(TITLED, ("kowalczyk", "ozturk", "garcia", "neill"), strict=True))
)
def test_a_word_behind_a_title_looks_like_a_name(text, name):
    assert name_like([*PLAIN, text], ["heart", name, "seen"]) == [name]


def test_a_word_that_is_always_written_with_a_capital_looks_like_a_name():
    texts = [*PLAIN, *["compared with the films of Kowalczyk from before"] * 5]
    assert name_like(texts, ["compared", "kowalczyk", "films"]) == ["kowalczyk"]


@pytest.mark.parametrize(
    "texts",
    [
        PLAIN,
        ["HEART IS NORMAL IN SIZE"] * 20,
        [text.lower() for text in TITLED * 5],
        ["Der Patient hat einen Erguss in der Lunge und im Herzen eine Sonde"] * 20,
        [*PLAIN, *["signs of Kerley lines and a Hodgkin lymphoma with a Swan Ganz catheter"] * 9],
        [*PLAIN, *["Effusion. Edema is seen. Kyphosis"] * 9],
    ],
)
def test_words_of_reports_do_not(texts):
    words = {word.strip(".").lower() for text in texts for word in text.split()}
    assert name_like(texts, sorted(words)) == []


def test_training_a_vocabulary_warns_by_number_and_quotes_no_name(caplog):
    texts = [f"{PLAIN[0]} Dr. Kowalczyk {number}" for number in range(30)]
    tokenizer = train_tokenizer(texts, [str(n) for n in range(30)], vocabulary=300, min_patients=5)
    number = tokenizer.token_to_id("kowalczyk")
    assert number is not None
    assert (
        "1 words of the vocabulary look like names of people: look them up by their numbers in" in caplog.text
    )
    assert f"({number})" in caplog.text
    assert "kowalczyk" not in caplog.text.lower()


def test_a_vocabulary_without_names_is_not_warned_of(caplog):
    train_tokenizer(PLAIN, [str(n) for n in range(20)], vocabulary=300, min_patients=5)
    assert not caplog.records
