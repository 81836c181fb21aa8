import pytest

from medistill.data.rule_labels import label_report
from medistill.data.rule_labels.lexicon import FINDINGS


def labels(text, *names):
    found = label_report(text)
    return tuple(found.get(name) for name in names)


@pytest.mark.parametrize(
    ("text", "finding", "state"),
    [
        ("There is a small left pleural effusion.", "pleural effusion", 1),
        ("No pneumothorax or pleural effusion.", "pleural effusion", 0),
        ("Without consolidation, effusion, or pneumothorax.", "pneumothorax", 0),
        ("No consolidation, large pleural effusion, or pneumothorax.", "pneumothorax", 0),
        ("Pneumothorax is not seen.", "pneumothorax", 0),
        ("The edema has resolved.", "edema", 0),
        ("Possible pneumonia at the left base.", "pneumonia", -1),
        ("The opacity may represent pneumonia.", "pneumonia", -1),
        ("The opacity may represent pneumonia.", "lung opacity", 1),
        ("Pneumonia cannot be excluded.", "pneumonia", -1),
        ("No evidence to suggest pneumonia.", "pneumonia", 0),
        ("The heart is enlarged.", "cardiomegaly", 1),
        ("The heart is not enlarged.", "cardiomegaly", 0),
        ("Heart size is normal.", "cardiomegaly", 0),
        ("The superior mediastinum is widened.", "enlarged cardiomediastinum", 1),
        ("Healed rib fracture on the left.", "fracture", 1),
        ("A 5 mm. nodule is seen.", "lung lesion", 1),
        ("Bibasilar atelectasis.", "atelectasis", 1),
        ("Focal consolidation of the lower lobe.", "consolidation", 1),
        ("There is biapical pleural thickening.", "pleural other", 1),
        ("Right central venous catheter with its tip in the SVC.", "support devices", 1),
        ("Interval removal of the left PICC line.", "support devices", 0),
    ],
)
def test_a_sentence_states_a_finding(text, finding, state):
    assert labels(text, finding) == (state,)


@pytest.mark.parametrize(
    ("text", "effusion", "pneumothorax"),
    [
        ("Small effusion, no pneumothorax.", 1, 0),
        ("No effusion, but there is a pneumothorax.", 0, 1),
        ("No effusion; small apical pneumothorax.", 0, 1),
        ("No change in the small effusion. No pneumothorax.", 1, 0),
        ("No effusion. Pneumothorax of 2 cm.", 0, 1),
    ],
)
def test_a_denial_ends_with_its_clause(text, effusion, pneumothorax):
    assert labels(text, "pleural effusion", "pneumothorax") == (effusion, pneumothorax)


def test_present_outweighs_uncertain_and_uncertain_absent():
    assert labels("No edema. Possible edema.", "edema") == (-1,)
    assert labels("There is edema. Possible edema. No edema.", "edema") == (1,)


def test_what_was_asked_or_known_is_no_finding():
    text = "INDICATION: Rule out pneumonia, known effusion.\nFINDINGS: The lungs are clear."
    assert label_report(text) == {"lung opacity": 0, "no finding": 1}


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("The heart and lungs are normal. No effusion is seen.", 1),
        ("No acute cardiopulmonary disease.", 1),
        ("The lungs are clear. There is scoliosis of the spine.", 0),
        ("The lungs are clear. Sternotomy wires are noted.", 0),
        ("The lungs are clear. Possible nodule at the left base.", -1),
        ("The film was compared to the prior one.", None),
    ],
)
def test_no_finding_takes_more_than_the_absence_of_the_common_ones(text, state):
    assert labels(text, "no finding") == (state,)


@pytest.mark.parametrize(
    "text",
    [
        "Silueta cardíaca normal. Sin derrame pleural. Pneumothorax.",
        "Pleura normal. Neumonía basal derecha.",
        "Herz normal, keine Stauung. Kein Pneumothorax.",
        "Cœur normal. Pas de pneumothorax.",
        "Coração normal. Pneumothorax direito.",
        "心影正常。",
        "",
        "___ 12.",
    ],
)
def test_a_text_that_is_not_english_has_no_labels(text):
    assert label_report(text) == {}


def test_a_sentence_not_understood_keeps_a_report_from_being_called_normal():
    assert "no finding" in label_report("The lungs are clear.")
    assert "no finding" not in label_report("The lungs are clear. Neumonía basal derecha.")


def test_labels_come_in_the_order_of_the_findings():
    found = list(
        label_report("No pneumothorax, effusion or edema. The lungs are clear. Heart size is normal.")
    )
    assert found == [finding for finding in FINDINGS if finding in found]
