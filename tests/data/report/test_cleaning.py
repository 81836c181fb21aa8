import pytest

from medistill.data.report.cleaning import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Normal chest x-XXXX.", "Normal chest."),
        ("Compared to ___, no change.", "Compared to, no change."),
        ("XXXX XXXX. Heart normal.", "Heart normal."),
        ("Seen (see XXXX, XXXX). New", "Seen (see). New"),
        ("The (___) mass , ___ , is new.", "The mass, is new."),
        ("XXXX, XXXX.", ""),
        ("PA/XXXX view", "PA view"),
    ],
)
def test_marks_of_deidentification_leave_no_gap_and_no_lone_punctuation(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("1. Emphysema. 2. Scars of 5 mm. 3. No mass.", "Emphysema. Scars of 5 mm. No mass."),
        ("1. Emphysema\n2. Scars\n3. no mass", "Emphysema. Scars. no mass"),
        ("- Emphysema\n- Scars", "Emphysema. Scars"),
        ("1) One. 2) Two.", "One. Two."),
        ("1. A long item.\nStill it. 2.\nTwo.", "A long item. Still it. Two."),
        ("No change since 1. The", "No change since 1. The"),
        ("It is 2.1. The rest", "It is 2.1. The rest"),
        ("It ends here. 7. More", "It ends here. 7. More"),
        ("Level 7. Also 9. There", "Level 7. Also 9. There"),
    ],
)
def test_numbers_go_where_they_count_items_and_nowhere_else(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("The heart\nis  normal\r\nin size.", "The heart is normal in size."),
        ("An age-\nindeterminate fracture", "An age-indeterminate fracture"),
        ("Heart normal\n\nNo effusion", "Heart normal. No effusion"),
        ("seen in the\n\nright lung", "seen in the right lung"),
        ("两肺清晰\uff0c\n心影正常", "两肺清晰\uff0c心影正常"),
    ],
)
def test_dictated_line_breaks_are_joined(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Silueta cardíaca normal. ¿Nódulo?",
        "Größe normal, keine Stauung; 3 x 4 cm ...",
        "両肺野は清。",
        "x ... y",
    ],
)
def test_clean_text_stays_as_it_is(text):
    assert clean(text) == text
