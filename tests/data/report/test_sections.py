import json
import subprocess
import sys

import pytest

from medistill.data.report import Sections, read_sections, training_text

PARTS = {
    "indication": "Cough",
    "comparison": "None.",
    "findings": "The heart is normal. A 5 mm. nodule is seen.",
    "impression": "Small nodule.",
}
WHOLE = Sections(**PARTS)


def laid_out(header, between="\n", **parts):
    return between.join(header.format(name, name.upper(), name.title()) + PARTS[name] for name in PARTS)


@pytest.mark.parametrize(
    "text",
    [
        laid_out("{1}: "),
        laid_out("{2}: "),
        laid_out("{0}: "),
        laid_out("{1}:\n\n ", "\n\n"),
        laid_out("{1}\n"),
        laid_out("{2}\n\n", "\n\n"),
        laid_out("{1} "),
        laid_out("{2} - "),
        laid_out("**{2}:** "),
        laid_out("## {2}\n", "\n\n"),
        laid_out("{1}: ", " "),
        laid_out("{1}: ").replace("\n", "\r\n"),
        "   FINAL REPORT\n EXAMINATION: CHEST\n\n" + laid_out(" {1}:  ", "\n\n") + "\n\nDictated by: Dr. A",
    ],
)
def test_the_same_sections_are_read_from_every_style_of_header(text):
    assert read_sections(text) == WHOLE


@pytest.mark.parametrize(
    ("name", "synonym"),
    [
        *(("impression", word) for word in ("CONCLUSION", "Opinion", "IMPRESSIONS", "Impression(s)")),
        *(("findings", word) for word in ("REPORT", "Description", "FINDING", "FINDINGS 2")),
        *(
            ("indication", word)
            for word in ("HISTORY", "Clinical History", "REASON FOR EXAM", "CLINICAL DATA")
        ),
        *(("comparison", word) for word in ("COMPARISONS", "Prior studies")),
    ],
)
def test_sections_are_known_by_their_other_names(name, synonym):
    read = read_sections(f"TECHNIQUE: PA\n{synonym}: Some words.\nTECHNIQUE: lateral")
    assert read == Sections(**{name: "Some words."})


def test_words_of_a_sentence_are_not_taken_for_headers():
    text = "Findings are unchanged. Impression of a mass.\nReport called to the ward. History of cough.\n"
    assert read_sections(text).findings == " ".join(text.split())
    for shouted in (
        "THE FILM SHOWS NO\nFINDINGS SINCE THE\nHISTORY TAKEN.",
        "OLD FILM.\nFINDINGS ARE OLD.\nIMPRESSION OF IT.",
    ):
        assert read_sections(shouted).findings == " ".join(shouted.split())


def test_parts_of_the_findings_keep_their_names():
    read = read_sections("FINDINGS:\nLUNGS: Clear.\nHEART: Normal.\nIMPRESSION: Normal.")
    assert (read.findings, read.impression) == ("LUNGS: Clear. HEART: Normal.", "Normal.")


def test_a_text_without_headers_is_findings_and_no_impression_is_guessed():
    assert read_sections("Clear lungs.\n\nNo disease.") == Sections(findings="Clear lungs. No disease.")


@pytest.mark.parametrize(
    "text",
    [
        "CHEST X-RAY\n\nThe lungs are clear.\n\nIMPRESSION: Normal.",
        "PA AND LATERAL CHEST: The lungs are clear.\n\nIMPRESSION: Normal.",
        "INDICATION: Cough.\n\nThe lungs are clear.\n\nIMPRESSION: Normal.",
        "COMPARISON:\n\nNone.\n\nThe lungs are clear.\n\nIMPRESSION: Normal.",
    ],
)
def test_a_description_without_a_header_beside_an_impression_is_the_findings(text):
    read = read_sections(text)
    assert (read.findings, read.impression) == ("The lungs are clear.", "Normal.")
    assert "clear" not in read.indication + read.comparison


def test_sections_of_one_name_are_joined_and_repetitions_left_out():
    text = "FINDINGS: One.\nIMPRESSION: Two.\nFINDINGS: one\nFINDINGS: Three."
    assert read_sections(text) == Sections(findings="One. Three.", impression="Two.")


def test_an_addendum_adds_only_the_sections_it_names():
    text = "FINDINGS: One.\nADDENDUM: The above was discussed.\nIMPRESSION: Two."
    assert read_sections(text) == Sections(findings="One.", impression="Two.")
    text = "IMPRESSION: Two.\nADDENDUM:\nCOMPARISON: None.\n\nThe above was discussed."
    assert read_sections(text).findings == ""


def test_a_wet_read_counts_only_where_nothing_else_is_said():
    wet = "WET READ: 8:41 PM\nPossible pneumonia."
    assert read_sections(f"{wet}\n____________\n FINAL REPORT\nIMPRESSION: Clear.").impression == "Clear."
    assert "pneumonia" not in str(read_sections(f"{wet}\nFINAL REPORT\nIMPRESSION: Clear."))
    assert "Possible pneumonia." in read_sections(wet).findings


@pytest.mark.parametrize(
    "text",
    [
        "Silueta cardíaca normal. Sin hallazgos.",
        "Wynik: serce prawid\u0142owe.",
        "心影正常。无积液。",
        "Cœur: normal.",
    ],
)
def test_other_languages_pass_through_unharmed(text):
    assert read_sections(text) == Sections(findings=text)


def test_the_training_text_is_what_was_chosen_and_never_made_up():
    assert training_text(WHOLE) == f"{WHOLE.findings} {WHOLE.impression}"
    assert training_text(WHOLE, "impression") == WHOLE.impression
    assert training_text(Sections(findings="clear", impression="normal")) == "clear. normal"
    assert training_text(Sections(findings="Clear."), "impression") == ""
    assert training_text(Sections(indication="Cough.")) == ""
    assert training_text(Sections(findings="Clear.", impression="Clear.")) == "Clear."


HOSTILE = {
    "letters": "a",
    "spaces": " ",
    "lines": "\n",
    "marks": "_ ",
    "numbers": "1. ",
    "brackets": "( , ",
    "headers": "FINDINGS: ",
    "bare headers": "IMPRESSION\n",
    "negations": "no effusion, ",
    "prominence": "prominence of the ",
    "hearts": "heart is ",
    "wide": "两肺",
    "surrogates": "\x00\ud800\u2028",
    "slashes": "a/",
}


SECONDS = """
import json, sys, time
from medistill.data.rule_labels import label_report
for size in (125_000, 1_000_000):
    text = (json.loads(sys.argv[1]) * size)[:size]
    start = time.process_time()
    label_report(text)  # by way of read_sections and sentences
    print(time.process_time() - start)
"""


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_anything_is_read_in_linear_time(piece):
    """In a process of its own: the checks of shapes and types under test cost more than the work."""
    command = [sys.executable, "-c", SECONDS, json.dumps(piece)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    small, large = map(float, out.split())
    assert large < 8 * 4 * small + 0.5  # 8 where linear, 64 where quadratic
