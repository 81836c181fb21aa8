"""Prompts in the words of the reports: whose, how many must say them, and what never becomes one."""

import pytest

from medistill.evaluate.prompts.derived import derive_prompts, templates
from medistill.evaluate.prompts.shared import shared_sentences

CALM = "The lungs are clear. Heart size is normal."
BIG = "The heart is enlarged. The lungs are clear."
SMALL = "in 9 words the heart lungs there are is surgical clips cardiomegaly possible mild normal chest no"
"""How these words are written within sentences; no prompt itself, since it holds a digit."""


def said_by(*groups: tuple[str, int]) -> tuple[list[str], list[str]]:
    """Reports and their patients: each text said by so many, one report each."""
    reports = [text for text, count in (*groups, (SMALL, 5)) for _ in range(count)]
    return reports, [f"p{number}" for number in range(len(reports))]


def derived(*groups: tuple[str, int], findings=("cardiomegaly",), least=3):
    return derive_prompts(*said_by(*groups), findings, min_patients=least)


def every_text(prompts) -> set[str]:
    return {text for sides in prompts.values() for side in sides.values() for text in side}


def test_the_negative_side_is_what_normal_reports_say_and_the_positive_what_affirms():
    prompts = derived((CALM, 5), (BIG, 4))
    assert prompts["cardiomegaly"]["positive"] == ["The heart is enlarged."]
    assert set(prompts["cardiomegaly"]["negative"]) == {"The lungs are clear.", "Heart size is normal."}


def test_a_finding_that_no_shared_sentence_affirms_is_asked_by_plain_sentences():
    prompts = derived((CALM, 5), (BIG, 2), findings=("cardiomegaly", "mesh: hiatal hernia"))
    assert prompts["cardiomegaly"]["positive"] == ["Cardiomegaly.", "There is cardiomegaly."]
    assert prompts["mesh: hiatal hernia"]["positive"] == templates("hiatal hernia")
    assert "There is hiatal hernia." in templates("hiatal hernia")


def test_the_negative_side_begins_with_what_abnormal_reports_do_not_say():
    """`The lungs are clear.` is said most, and stands in reports of large hearts as well."""
    prompts = derived(("Normal chest. The lungs are clear.", 5), (CALM, 4), (BIG, 9))
    assert prompts["cardiomegaly"]["negative"][0] == "Normal chest."
    assert prompts["cardiomegaly"]["negative"][-1] == "The lungs are clear."


def test_the_denial_of_a_finding_is_no_negative_side_while_there_is_another():
    assert derived(("No effusion. Normal chest.", 5))["cardiomegaly"]["negative"] == ["Normal chest."]
    assert derived(("No effusion.", 5))["cardiomegaly"]["negative"] == ["No effusion."]


def test_what_denies_or_doubts_or_affirms_something_else_as_well_is_not_taken_for_the_finding():
    others = ("The heart is not enlarged.", "Possible cardiomegaly.", "Cardiomegaly with pulmonary edema.")
    text = " ".join(("The heart is enlarged. There is mild cardiomegaly and edema.", *others))
    assert derived((CALM, 5), (text, 4))["cardiomegaly"]["positive"] == ["The heart is enlarged."]


def test_a_finding_of_no_rule_is_known_by_its_words_and_their_plural():
    text = "There is scoliosis. No hiatal hernia. Surgical clips are seen. Surgical clip is seen."
    prompts = derived((CALM, 5), (text, 4), findings=("scoliosis", "hiatal hernia", "surgical clips"))
    assert prompts["scoliosis"]["positive"] == ["There is scoliosis."]
    assert prompts["hiatal hernia"]["positive"] == templates("hiatal hernia")
    assert len(prompts["surgical clips"]["positive"]) == 2


def test_the_label_of_no_finding_is_asked_the_other_way_round():
    prompts = derived((CALM, 5), (BIG, 4), findings=("no finding", "cardiomegaly"))
    assert prompts["no finding"]["positive"] == prompts["cardiomegaly"]["negative"]
    assert prompts["no finding"]["negative"] == ["The heart is enlarged."]


@pytest.mark.parametrize("least", [3, 1, 0])
def test_no_sentence_of_fewer_patients_is_ever_taken(least):
    """However few are asked for, two patients must say it, and a patient with many reports is one."""
    reports, patients = said_by((CALM, 5), (BIG, 4), ("Lungs are normal.", max(2, least) - 1))
    alone = ["Normal heart."] * 9
    prompts = derive_prompts(
        [*reports, *alone], [*patients, *["one"] * 9], ["cardiomegaly"], min_patients=least
    )
    assert "The lungs are clear." in every_text(prompts)
    assert not every_text(prompts) & {"Lungs are normal.", "Normal heart."}


def test_reports_without_a_shared_calm_sentence_give_no_prompts():
    assert derived((CALM, 2), (BIG, 1)) == {}
    assert derived(("Der Herzschatten ist vergrößert. Kein Erguss.", 9)) == {}


@pytest.mark.parametrize(
    "sentence",
    [
        "Lungs are clear since 2019.",
        "Lungs are clear, seen by Smith.",
        "Lungs are clear, seen by Dr. Jones.",
        "Lungs are clear, as in March.",
        "Lungs are clear at Lake Hospital.",
        "Lungs are clear XXXX.",
        "Lungs are clear ___.",
        "Lungs are clear <b>.",
        "Lungs are clear " + "and clear " * 20 + ".",
    ],
)
def test_what_could_be_about_one_person_is_left_out_however_often_it_is_said(sentence):
    reports, patients = said_by(
        (f"{CALM} {sentence}", 30), ("clear lungs are seen as in the chest, by at", 9)
    )
    assert sentence not in shared_sentences(reports, patients, least=3)


def test_a_word_must_be_written_small_by_as_many_patients():
    """A name is written with a capital, but for a slip or two."""
    reports, patients = said_by((f"{CALM} Lungs are clear says Brown.", 30), ("lungs clear, says brown", 2))
    assert "Lungs are clear says Brown." not in shared_sentences(reports, patients, least=3)
    reports, patients = said_by((f"{CALM} Lungs are clear says Brown.", 30), ("lungs clear, says brown", 3))
    assert "Lungs are clear says Brown." in shared_sentences(reports, patients, least=3)


def test_nothing_is_taken_from_reports_in_capitals():
    assert derived((CALM.upper(), 30), (BIG.upper(), 30)) == {}


def test_the_order_of_reports_does_not_matter():
    reports, patients = said_by((CALM, 5), (BIG, 4), ("Cardiomegaly is seen. Lungs are clear.", 4))
    there = derive_prompts(reports, patients, ["cardiomegaly"], min_patients=3)
    assert derive_prompts(reports[::-1], patients[::-1], ["cardiomegaly"], min_patients=3) == there
