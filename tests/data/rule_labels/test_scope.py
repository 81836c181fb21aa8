"""How far a denial and a doubt reach, what is still there, what only was, and what is asked."""

import pytest

from medistill.data.rule_labels import label_report


def states(text, *names):
    found = label_report(text)
    return tuple(found.get(name) for name in names)


@pytest.mark.parametrize(
    "said",
    [
        "{} has not resolved.",
        "{} has partially resolved.",
        "{} has nearly resolved.",
        "{} has not cleared.",
        "{} is almost completely resolved.",
        "{} has not yet fully cleared.",
        "{} hasn't resolved.",
        "{} hasn\u2019t resolved.",
        "{} has decreased but not resolved.",
        "{} failed to clear.",
        "{} has mostly cleared.",
        "Previous {} has not resolved.",
        "Partial resolution of the {}.",
        "Near-complete resolution of the {}.",
        "No resolution of the {}.",
        "Incompletely resolved {}.",
        "No worsening of the {}.",
        "No evidence of worsening of the {}.",
        "No improvement in the {}.",
        "No significant interval change in the {}.",
        "Without progression of the {}.",
        "There is no increase in the {}.",
    ],
)
@pytest.mark.parametrize(("term", "finding"), [("effusion", "pleural effusion"), ("pneumonia", "pneumonia")])
def test_what_is_not_gone_is_there(said, term, finding):
    assert states(said.format(term), finding) == (1,)


@pytest.mark.parametrize(
    "said",
    [
        "{} has resolved.",
        "{} resolved.",
        "Resolved {}.",
        "Complete resolution of the {}.",
        "{} is no longer seen.",
    ],
)
def test_what_is_gone_is_not_there(said):
    assert states(said.format("effusion"), "pleural effusion") == (0,)


@pytest.mark.parametrize(
    "between",
    [
        " with a small ",
        " with small left ",
        ", with a small ",
        " and a small ",
        ", small ",
        " but small ",
        " - small ",
        "; there is a ",
        " while there is a ",
        ", however there is a ",
        " and there is a ",
        " with persistent ",
    ],
)
def test_a_denial_does_not_reach_what_is_said_to_be_there(between):
    text = f"No pneumothorax{between}effusion."
    assert states(text, "pneumothorax", "pleural effusion") == (0, 1)


@pytest.mark.parametrize("text", ["No pneumothorax with effusion.", "No pneumothorax and small effusion."])
def test_where_the_reach_is_not_clear_it_is_in_doubt(text):
    assert states(text, "pneumothorax", "pleural effusion") == (0, -1)


@pytest.mark.parametrize(
    "text",
    [
        "No pneumothorax, large effusion, or edema.",
        "No pneumothorax or new effusion.",
        "No effusion or opacity.",
    ],
)
def test_a_denied_list_stays_denied(text):
    assert set(label_report(text).values()) == {0, 1}
    assert [name for name, state in label_report(text).items() if state == 1] == ["no finding"]


@pytest.mark.parametrize(
    "text",
    [
        "History of pneumonia. Lungs are clear.",
        "H/o pneumonia. Lungs are clear.",
        "Hx of pneumonia. Lungs are clear.",
        "Patient with a history of CHF and pneumonia. Lungs are clear.",
        "No history of pneumonia. Lungs are clear.",
        "Prior pneumonia. Lungs are clear.",
        "History significant for pneumonia. Lungs are clear.",
        "The patient had pneumonia. Lungs are clear.",
        "Treated for pneumonia. Lungs are clear.",
        "History: pneumonia.\n\nLungs are clear.",
    ],
)
def test_of_what_was_nothing_is_stated(text):
    assert states(text, "pneumonia", "edema", "lung opacity") == (None, None, 0)


def test_the_past_ends_where_today_begins():
    assert states("History of pneumonia, now with effusion.", "pneumonia", "pleural effusion") == (None, 1)
    assert states("History of CHF. No effusion.", "edema", "pleural effusion") == (None, 0)


@pytest.mark.parametrize(
    "text",
    [
        "Lungs clear w/o {}.",
        "Chest film W/O {}.",
        "Lungs w/out {}.",
        r"Lungs clear w\o {}.",
        "There isn't {}.",
        "Neg for {}.",
    ],
)
def test_short_forms_of_a_denial_deny(text):
    assert states(text.format("pneumonia"), "pneumonia") == (0,)


@pytest.mark.parametrize(
    "text",
    [
        "Film taken to r/o {}.",
        "R/O {}.",
        "Opacity at the left base, ?{}.",
        "? {} at the left base.",
        "Opacity ? {}",
        "Is this {}?",
        "{}?",
        "Left {} (?).",
        "Opacity, less likely {}.",
        "{} is less likely.",
        "{} less likely.",
        "{} is felt to be less likely than atelectasis.",
        "{}, if any, is small.",
        "Minimal {}, if present.",
        "Unlikely to represent {}.",
        "Atelectasis +/- {}.",
        "Doubtful {}.",
        "{} is not clearly seen.",
        "Follow-up to document resolution of {}.",
        "Unable to exclude {}.",
        "Atelectasis more likely than {}.",
        "Query {}.",
        "No worsening {}.",
    ],
)
def test_what_is_asked_or_doubted_is_in_doubt(text):
    assert states(text.format("pneumonia"), "pneumonia") == (-1,)


def test_a_doubt_leaves_what_stands_before_it():
    assert states("Opacity, less likely pneumonia.", "lung opacity") == (1,)
    assert states("Opacity at the base, ?pneumonia.", "lung opacity") == (1,)


@pytest.mark.parametrize(
    "text", ["Heart size is not normal.", "The heart is no longer normal.", "The heart may be normal."]
)
def test_what_is_not_called_normal_is_not_normal(text):
    assert states(text, "cardiomegaly") == (None,)
    assert label_report(text).get("no finding") != 1
