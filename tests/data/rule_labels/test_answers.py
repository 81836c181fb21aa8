"""Answers in forms, tables and check boxes are tied to the findings they stand by."""

import pytest

from medistill.data.report.sections import Sections
from medistill.data.rule_labels import label_report, label_sections

THREE = ("consolidation", "pleural effusion", "cardiomegaly")


def states(text, *names):
    found = label_report(text)
    return tuple(found.get(name) for name in names)


@pytest.mark.parametrize(
    "text",
    [
        "Consolidation: No / Pleural effusion: No / Cardiomegaly: Yes",
        "Consolidation: No\nPleural effusion: No\nCardiomegaly: Yes",
        "Consolidation: No Pleural effusion: No Cardiomegaly: Yes",
        "consolidation: no pleural effusion: no cardiomegaly: yes",
        "CONSOLIDATION: NO\nPLEURAL EFFUSION: NO\nCARDIOMEGALY: YES",
        "Consolidation: no; pleural effusion: no; cardiomegaly: yes.",
        "Consolidation: None. Pleural effusion: Absent. Cardiomegaly: Present.",
        "Consolidation - none\nPleural effusion \u2013 not seen\nCardiomegaly \u2014 mild",
        "Consolidation -> no, pleural effusion -> no, cardiomegaly -> yes",
        "| Finding | Status |\n|---|---|\n| Consolidation | no |\n| Effusion | no |\n| Cardiomegaly | yes |",
        "Consolidation\tNo\nPleural effusion\tNo\nCardiomegaly\tYes",
        "Consolidation\tNo\tEffusion\tNo\tCardiomegaly\tYes",
        "Consolidation ........ No\nPleural effusion ..... No\nCardiomegaly ......... Yes",
        "Consolidation       No\nPleural effusion    No\nCardiomegaly        Yes",
        "Consolidation = 0, pleural effusion = 0, cardiomegaly = 1",
        "Consolidation (-), pleural effusion (no), cardiomegaly (+)",
        "Consolidation,No\nPleural effusion,No\nCardiomegaly,Yes",
        "✗ Consolidation ✗ Effusion ✓ Cardiomegaly",
        "[✗] Consolidation [✗] Effusion [✓] Cardiomegaly",
        "Consolidation no, pleural effusion no, cardiomegaly yes",
        "Consolidation? No. Is there a pleural effusion? No. Cardiomegaly? Yes, mild.",
        "[ ] Consolidation [ ] Effusion [x] Cardiomegaly",
        "- [ ] Consolidation\n- [ ] Effusion\n- [X] Cardiomegaly",
        "Consolidation [ ] Effusion [ ] Cardiomegaly [x]",
        "( ) Consolidation ( ) Effusion (x) Cardiomegaly",
        "\u2610 Consolidation \u2610 Effusion \u2612 Cardiomegaly",
        "Consolidation: [ ] Yes [x] No. Effusion: [ ] Yes [x] No. Cardiomegaly: [x] Yes [ ] No.",
        "Consolidation: Yes [ ] No [x]. Effusion: Yes [ ] No [x]. Cardiomegaly: Yes [x] No [ ].",
        "Absent: consolidation, effusion. Present: cardiomegaly.",
        "No evidence of: consolidation, pleural effusion. Positive for: cardiomegaly.",
        "Consolidation or pleural effusion: none. Cardiomegaly: moderate.",
        "Consolidation\uff1aNo\nPleural effusion\uff1aNo\nCardiomegaly\uff1aYes",
        "FINDINGS: Consolidation: No. Pleural effusion: No. IMPRESSION: Cardiomegaly: Yes.",
    ],
)
def test_a_form_is_read_as_it_is_filled_in(text):
    assert states(text, *THREE, "no finding") == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Pneumothorax: none.", 0),
        ("Pneumothorax: None seen on either side.", 0),
        ("Pneumothorax: there is none.", 0),
        ("Pneumothorax: no evidence of pneumothorax.", 0),
        ("Pneumothorax: Not visualized", 0),
        ("Pneumothorax: resolved.", 0),
        ("Pneumothorax-none", 0),
        ("Pneumothorax none.", 0),
        ("Pneumothorax: nil", 0),
        ("No pneumothorax: yes", 0),
        ("Pneumothorax: small left", 1),
        ("Pneumothorax: 2 cm at the apex", 1),
        ("Pneumothorax: nearly resolved.", 1),
        ("Pneumothorax: decreased", 1),
        ("Pneumothorax: none on the left, small on the right.", 1),
        ("Pneumothorax: cannot be excluded", -1),
        ("Pneumothorax: possible", -1),
        ("Pneumothorax: ?", -1),
        ("Pneumothorax: no change", -1),
        ("Pneumothorax: trace, if any", -1),
        ("Pneumothorax or effusion: yes", -1),
        ("Pneumothorax: yes / no", None),
        ("Pneumothorax: N/A", None),
        ("Pneumothorax: not assessed", None),
        ("Pneumothorax: ___", None),
        ("Pneumothorax:", None),
        ("Pneumothorax: discussed with the ward", None),
        ("[ ] Pneumothorax [ ] Effusion", None),
        ("[x] Pneumothorax [ ]", None),
        ("No pneumothorax: no", None),
    ],
)
def test_an_answer_says_the_state_and_what_is_no_answer_says_nothing(text, state):
    assert states(text, "pneumothorax") == (state,)


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("Sí", "No"),
        ("Sim", "Não"),
        ("Oui", "Non"),
        ("Ja", "Nein"),
        ("Sì", "No"),
        ("Ja", "Nee"),
        ("presente", "ausente"),
        ("présent", "absent"),
        ("vorhanden", "keine"),
        ("aanwezig", "geen"),
        ("有", "无"),
        ("阳性", "阴性"),
        ("あり", "なし"),
        ("陽性", "陰性"),
    ],
)
@pytest.mark.parametrize(
    "form", ["Edema: {0}\nPneumothorax: {1}", "Edema \uff1a{0}\uff1b Pneumothorax \uff1a{1}"]
)
def test_answers_of_other_languages_are_known_behind_english_names(form, yes, no):
    assert states(form.format(yes, no), "edema", "pneumothorax") == (1, 0)


@pytest.mark.parametrize(
    "text",
    [
        "Derrame pleural: no",
        "Infiltrat: ja",
        "Pneumothorax: no lóbulo superior",
        "Edema pulmonar: sí",
    ],
)
def test_what_is_answered_must_be_named_in_english(text):
    assert label_report(text) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heart: enlarged.\nLungs: clear.", {"cardiomegaly": 1, "lung opacity": 0}),
        ("Heart size: Normal / Lungs: Clear / Effusion: No", {"cardiomegaly": 0, "pleural effusion": 0}),
        ("Lungs: No consolidation\nPleura: Small left effusion", {"consolidation": 0, "pleural effusion": 1}),
        ("No consolidation\nSmall left effusion\nHeart normal", {"consolidation": 0, "pleural effusion": 1}),
        ("No pleural effusion is seen\nLarge nodule", {"pleural effusion": 0, "lung lesion": 1}),
        ("There is a large effusion, pneumothorax: none", {"pleural effusion": 1, "pneumothorax": 0}),
        ("Pneumonia: no consolidation or infiltrate.", {"consolidation": 0, "lung opacity": 0}),
        ("Differential: pneumonia, edema.", {"pneumonia": -1, "edema": -1}),
        ("Lines/tubes: none.", {"support devices": 0}),
    ],
)
def test_a_line_of_a_form_is_a_sentence_about_its_heading(text, expected):
    found = label_report(text)
    assert {name: found.get(name) for name in expected} == expected
    assert "pneumonia" in expected or "pneumonia" not in found


def test_a_form_not_filled_in_is_never_called_normal():
    assert label_report("Lungs: clear. Effusion: none.")["no finding"] == 1
    assert "no finding" not in label_report("Lungs: clear. Effusion: not assessed.")


def test_what_a_heading_without_an_answer_says_is_nothing():
    assert label_sections(Sections(findings="Pneumonia: see the comment.")) == {}
