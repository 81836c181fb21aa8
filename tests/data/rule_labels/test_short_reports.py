"""A report of a few words, some of them spelled alike in several languages."""

import pytest

from medistill.data.rule_labels import label_report


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No pneumothorax.", {"pneumothorax": 0, "no finding": 1}),
        ("Normal.", {"no finding": 1}),
        ("CHF.", {"edema": 1, "no finding": 0}),
        ("Pneumothorax.", {"pneumothorax": 1, "no finding": 0}),
        ("No effusion", {"pleural effusion": 0, "no finding": 1}),
        ("NORMAL CHEST", {"no finding": 1}),
        ("Normal CXR.", {"no finding": 1}),
        ("Negative.", {"no finding": 1}),
        ("Clear.", {"no finding": 1}),
        ("WNL", {"no finding": 1}),
        ("NAD.", {"no finding": 1}),
        ("No PTX.", {"pneumothorax": 0, "no finding": 1}),
        ("RLL pneumonia.", {"no finding": 0, "pneumonia": 1}),
        ("Edema.", {"edema": 1, "no finding": 0}),
        ("COPD.", {"no finding": 0}),
        ("Abnormal.", {"no finding": 0}),
        ("No consolidation, no edema.", {"consolidation": 0, "edema": 0, "no finding": 1}),
        ("No change.", {}),
        ("Unchanged.", {}),
        ("Normal?", {}),
    ],
)
def test_it_is_taken_for_english(text, expected):
    assert label_report(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Kein Pneumothorax.",
        "Pas de pneumothorax.",
        "Sin neumot\u00f3rax.",
        "Pneumothorax rechts.",
        "Pneumothorax direito.",
        "No edema pulmonar.",
        "No fractura.",
        "Geen pneumothorax.",
        "Nessun pneumothorax.",
        "Normal. Sin derrame.",
        "\u6b63\u5e38\u3002",
    ],
)
def test_a_word_of_another_language_is_enough_to_give_none(text):
    assert label_report(text) == {}
