import pytest

from medistill.data.report.sentences import sentences


@pytest.mark.parametrize(
    "whole",
    [
        "A 5 mm. nodule is seen.",
        "The T. spine is intact.",
        "Seen by Dr. Smith.",
        "A mass of 1.5 cm is new.",
        "A lesion, i.e. a nodule, e.g. in the base.",
        "1. Cardiomegaly.",
        "Seno costofrénico dcho. libre.",
    ],
)
def test_a_period_that_ends_no_sentence_leaves_it_whole(whole):
    assert sentences(f"Clear. {whole} No edema.") == ["Clear.", whole, "No edema."]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It measures 5 mm. The heart is normal.", ["It measures 5 mm.", "The heart is normal."]),
        ("CLEAR. 5 MM. NODULE. NO EDEMA.", ["CLEAR.", "5 MM. NODULE.", "NO EDEMA."]),
        ("NODULE OF 5 MM. THE HEART IS NORMAL.", ["NODULE OF 5 MM.", "THE HEART IS NORMAL."]),
        ("heart size normal. lungs clear.", ["heart size normal.", "lungs clear."]),
        ("in the apex.There are streaks.", ["in the apex.", "There are streaks."]),
        ("Is it a mass? Yes! (Old.) New.", ["Is it a mass?", "Yes!", "(Old.)", "New."]),
        ("Known since 2012. The rest is new", ["Known since 2012.", "The rest is new"]),
        ("两肺清晰。心影正常。", ["两肺清晰。", "心影正常。"]),
        ("Clear lungs\n\nNo effusion\nis seen", ["Clear lungs", "No effusion is seen"]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, parts):
    assert sentences(text) == parts
