"""The fields of a form, and the sentences beside them."""

import pytest

from medistill.data.report.cleaning import clean
from medistill.data.report.forms import Field, fields, state_of


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Edema: no\nEffusion: yes", "Edema: no. Effusion: yes"),
        ("Edema\tno\nEffusion\tyes", "Edema: no. Effusion: yes"),
        ("Edema ..... no\nEffusion .. yes", "Edema: no. Effusion .. yes"),
        ("| Edema | no |\n|---|---|\n| Effusion | yes |", "Edema | no. Effusion | yes"),
        ("- [ ] Edema\n- [x] Effusion", "[ ] Edema. [x] Effusion"),
        ("Heart normal\nNo effusion", "Heart normal. No effusion"),
        ("Edema: no\nThe heart is\nnormal", "Edema: no. The heart is normal"),
        ("The effusion on the\nLeft is small", "The effusion on the Left is small"),
        ("seen in a line that is as long as\nLines are where a text is wrapped to a width of its own.", None),
    ],
)
def test_a_line_of_a_form_becomes_a_sentence_and_no_other_line(text, cleaned):
    assert clean(text) == (cleaned or " ".join(text.split()))


def test_fields_are_taken_out_and_the_rest_stays():
    found, rest = fields("The heart is large. Edema: no. The 1.5 cm nodule is old.")
    assert found == [Field("Edema", "absent")]
    assert [part.strip() for part in rest.split(" . ")] == [
        "The heart is large.",
        ". The 1.5 cm nodule is old.",
    ]


def test_prose_has_no_fields():
    for text in ("There is no edema: the heart is normal.", "At 10:30 no change.", "An x-ray of 2 - 3 cm."):
        assert fields(text) == ([], text)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("NO", "absent"),
        ("S\u00ec", "present"),
        ("small  left", "present"),
        ("?", "doubt"),
        ("y/n", "unanswered"),
    ],
)
def test_an_answer_has_one_state(said, state):
    assert state_of(said) == state
