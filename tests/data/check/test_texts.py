"""Broken texts and what may name a person are found, and findings that a split lacks."""

import pytest

from medistill.data.check.run import label_counts, label_flags
from medistill.data.check.splits import splits_of
from medistill.data.check.texts import identifiers, is_a_name, measure_texts, single_text_flags
from medistill.data.study import NO_REPORT

CLOSED = [f"The heart is normal. There is no effusion, film {number}." for number in range(20)]


@pytest.fixture
def flags_of(write, study):
    """The text flags, by check, of a corpus with one study a text."""

    def check(texts, **fields):
        corpus = write([study(number, text=text, **fields) for number, text in enumerate(texts)])
        return {flag.check: flag for flag in single_text_flags(measure_texts(corpus))}

    return check


def rows(flag):
    return [case[0] for case in flag.cases]


def test_clean_texts_are_not_flagged(flags_of):
    assert flags_of(CLOSED) == {}


def test_studies_without_a_report_have_no_text_to_check(flags_of, write, study):
    assert flags_of([*CLOSED, NO_REPORT, NO_REPORT]) == {}
    corpus = write([study(1, text=NO_REPORT, patient_id="Jane Doe"), study(2)], "named")
    assert measure_texts(corpus).row.tolist() == [1]
    assert measure_texts(corpus).names_as_ids == [0]


@pytest.mark.parametrize("text", ["", "  \n", "...", "- _"])
def test_a_text_without_a_word_is_empty(flags_of, text):
    assert rows(flags_of([*CLOSED, text])["empty_texts"]) == [20]


@pytest.mark.parametrize(
    "text",
    [
        "The heart is enlarged. There is a small left",
        "There is a small effusion on the",
        "Small effusion, no pneumothorax,",
        "Heart enlarged, lungs clear and",
    ],
)
def test_a_text_that_ends_in_mid_sentence_is_cut(flags_of, text):
    assert rows(flags_of([*CLOSED, text])["cut_texts"]) == [20]


@pytest.mark.parametrize(
    "text",
    [
        "Cardiomegaly",
        "Pneumonia, right lower lobe",
        "Lungs clear. Heart normal (see above)",
        "Herz normal. Kein Erguss!",
    ],
)
def test_a_short_label_or_a_closed_text_is_not_cut(flags_of, text):
    assert flags_of([*CLOSED, text]) == {}


def test_where_texts_have_no_last_stop_by_custom_none_is_cut_for_want_of_it(flags_of):
    assert flags_of([text.rstrip(".") for text in CLOSED]) == {}


def test_texts_of_one_longest_length_without_an_end_are_cut_by_their_source(flags_of):
    style = [f"Film {number}. Heart normal" for number in range(10)]
    limit = [
        (f"Film {number}. " + "The heart is large and wide here as seen " * 9)[:255].rstrip("s")
        for number in range(3)
    ]
    same = [text[:250] + "abcd" for text in limit]
    assert rows(flags_of(style + same)["cut_texts"]) == [10, 11, 12]


def test_a_text_longer_than_a_recipe_encodes_is_counted_by_recipe(flags_of):
    flag = flags_of([*CLOSED, "word " * 100 + "end.", "word " * 140 + "end."])["long_texts"]
    assert flag.figures == {"96": 2, "128": 1}
    assert rows(flag) == [21]
    assert "small" in flag.said


def test_a_text_on_several_images_of_a_study_counts_once(flags_of):
    flag = flags_of(["Seen by Dr. Smith."], views=("PA", "lateral"))["identifiers"]
    assert flag.figures == {"name": 1}


HELD = {
    "name": [
        "Discussed with Dr. Smith at noon.",
        "Mrs O'Neill was called.",
        "DR. SMITH WAS INFORMED.",
        "Patient name: Doe",
        "Dictated by: Jane Doe",
    ],
    "date": [
        "Comparison 2019-03-14.",
        "Compared with 3/14/2019.",
        "vom 14.03.2019",
        "since 03/14/19",
        "January 22, 2020",
        "on 13 April 2006",
        "On March 3rd, 2011",
    ],
    "phone number": ["Call (555) 123-4567.", "Tel. 030 123456", "at +49 30 123 456", "555-123-4567"],
    "record number": [
        "MRN: 00123456",
        "Accession # A1234567",
        "Record number 445566",
        "Film 12345678 reviewed.",
    ],
    "e-mail or web address": ["mail jane.doe@example.org", "see http://example.org/x"],
    "age over 89": ["A 94-year-old man.", "101 yo woman"],
}
CLEAN = [
    "Dr. XXXX was informed on XXXX.",
    "Seen by Dr. ___.",
    "MR. Axial. Brain.",
    "DR. PA chest.",
    "MS. Plaques.",
    "DR CHEST, two views",
    "T12/L1 and 3/4 of the field, 2.5 x 3.10 cm",
    "Nodule of 1.2.3 mm",
    "A 65-year-old man, 90 mm mass",
    "May show edema. March fracture.",
    "Tip 4.5 cm above the carina, 100 000 cells",
    "Case 3 of 12. Record low volumes.",
    "Name of the procedure: chest",
    "The name is unknown",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in HELD.items() for text in texts])
def test_what_may_name_a_person_is_told_by_kind(kind, text):
    assert identifiers(text) == {kind}


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_resembles_an_identifier_is_left_alone(text):
    assert identifiers(text) == frozenset()


def test_identifiers_are_counted_in_every_section_and_never_quoted(flags_of):
    flag = flags_of(CLOSED[:3], findings="Told Dr. Smith.", impression="MRN 00123456")["identifiers"]
    assert flag.figures == {"name": 3, "record number": 3}
    assert "Smith" not in repr(flag)
    assert "00123456" not in repr(flag)


@pytest.mark.parametrize("patient", ["DOE^JANE", "Doe, Jane", "Jane Doe", "Doe^Jane^M"])
def test_a_patient_id_that_is_a_name_is_flagged(flags_of, patient):
    assert is_a_name(patient)
    assert flags_of(CLOSED[:2], patient_id=patient)["identifying_ids"].count == 1


@pytest.mark.parametrize("patient", ["p0000012", "10004235", "MPX1016", "A-17", "patient00012", "", "3f2a"])
def test_a_plain_patient_id_is_not_a_name(patient):
    assert not is_a_name(patient)


def test_findings_that_a_split_lacks_are_named_with_the_split(write, study):
    labels = {
        "train": {"edema": 1, "mass": 1},
        "test": {"edema": 0, "mass": 1},
        "val": {"edema": 1, "mass": 1},
    }
    studies = [
        study(
            2 * number + other,
            split=split,
            labels={"edema": here["edema"], "mass": 1} if other else {"edema": 0, "mass": 1},
        )
        for number, (split, here) in enumerate(labels.items())
        for other in (0, 1)
    ]
    corpus = write(studies, findings=("edema", "mass"))
    counts = label_counts(corpus, splits_of(corpus))
    assert counts["edema"]["train"] == {"present": 1, "absent": 1, "uncertain": 0, "not stated": 0}
    said = {(flag.said, flag.splits) for flag in label_flags(counts)}
    assert said == {
        ("1 finding never present in test: edema", ("test",)),
        ("1 finding never absent in any split: mass", ()),
    }


def test_a_corpus_without_labels_has_no_label_flags(write, study):
    corpus = write([study(1)])
    assert list(label_flags(label_counts(corpus, splits_of(corpus)))) == []
