"""Sources whose reports are free text with headers: sections to train on, labels by rules."""

import csv

import pytest

from medistill.data.prepare import prepare, studies
from medistill.data.rule_labels.lexicon import FINDINGS
from medistill.data.sources import CsvSource, DicomSource, FolderSource
from medistill.data.study import NO_REPORT, Reject
from medistill.errors import CallError
from tests.dicoms import dicom

REPORT = "INDICATION: Cough. FINDINGS: There is a small pleural effusion. IMPRESSION: No pneumothorax."


@pytest.fixture
def source(tmp_path, grey, encoded):
    """One study with this report, as a source of the kind."""

    def make(kind, text, **options):
        if kind == "folder":
            place = tmp_path / "tree" / "p1" / "s1"
            place.mkdir(parents=True, exist_ok=True)
            (place / "a.png").write_bytes(encoded(grey))
            (place / "report.txt").write_text(text)
            return FolderSource(path=tmp_path / "tree", patient_is_study=True, **options)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / "a.png").write_bytes(encoded(grey))
        with (tmp_path / "reports.csv").open("w", newline="") as file:
            rows = [["image", "patient_id", "accession", "text"], ["images/a.png", "p", "A1", text]]
            csv.writer(file).writerows(rows)
        if kind == "csv":
            return CsvSource(path=tmp_path / "reports.csv", **options)
        (tmp_path / "images" / "a.png").write_bytes(dicom(grey, PatientID="p", AccessionNumber="A1"))
        return DicomSource(path=tmp_path / "images", reports=tmp_path / "reports.csv", **options)

    return make


KINDS = pytest.mark.parametrize("kind", ["csv", "folder", "dicom"])


@KINDS
def test_without_options_a_report_is_trained_on_as_it_is(source, kind):
    (study,) = studies(source(kind, REPORT).open())
    assert (study.text, study.findings, study.impression, study.labels) == (REPORT, None, None, {})


@KINDS
def test_the_sections_asked_for_are_trained_on_and_kept_apart(source, kind):
    (study,) = studies(source(kind, REPORT, sections="findings+impression").open())
    findings, impression = "There is a small pleural effusion.", "No pneumothorax."
    assert (study.findings, study.impression) == (findings, impression)
    assert study.text == f"{findings} {impression}"
    (study,) = studies(source(kind, REPORT, sections="impression").open())
    assert study.text == impression


@KINDS
def test_a_report_without_the_sections_asked_for_is_rejected(source, kind):
    (reject,) = studies(source(kind, "FINDINGS: Clear lungs.", sections="impression").open())
    assert isinstance(reject, Reject)
    assert reject.reason == "empty text"


@KINDS
def test_labels_are_read_from_the_report_by_rules(source, kind):
    reading = source(kind, REPORT, rule_labels=True).open()
    (study,) = studies(reading)
    assert reading.findings == FINDINGS
    assert study.text == REPORT
    assert study.labels == {"pleural effusion": 1, "pneumothorax": 0, "no finding": 0}


def test_the_corpus_card_names_the_findings_that_rules_may_read(source, tmp_path):
    card = prepare(source("csv", REPORT, rule_labels=True), tmp_path / "corpus")
    assert list(card["findings"]) == list(FINDINGS)


def test_labels_come_from_columns_or_from_rules(source):
    with pytest.raises(CallError, match="labels come from one of them"):
        source("csv", REPORT, rule_labels=True, labels=("text",)).open()


def test_sections_with_columns_of_their_own_are_what_rules_read(source, tmp_path):
    table = source("csv", REPORT, rule_labels=True)
    lines = table.path.read_text().splitlines()
    table.path.write_text(f"{lines[0]},impression\n{lines[1]},Cardiomegaly.\n")
    (study,) = studies(table.open())
    assert study.labels == {"cardiomegaly": 1, "no finding": 0}


def test_a_study_without_a_report_has_no_sections_and_no_labels(source):
    options = {"without_reports": True, "rule_labels": True, "sections": "impression"}
    (study,) = studies(source("csv", "", **options).open())
    assert (study.text, study.impression, study.labels) == (NO_REPORT, None, {})


@KINDS
def test_markup_of_hospital_systems_is_not_trained_on(source, kind):
    (study,) = studies(source(kind, r"The lungs are clear.\.br\<b>No</b> effusion &amp; no edema.").open())
    assert study.text == "The lungs are clear.\nNo effusion & no edema."
    text = r"FINDINGS: The lungs are clear.\.br\IMPRESSION: No effusion."
    (study,) = studies(source(kind, text, sections="findings+impression").open())
    assert (study.findings, study.impression) == ("The lungs are clear.", "No effusion.")


@KINDS
def test_texts_kept_whole_are_counted_in_the_card(source, kind, tmp_path):
    text = "INDIKATION: hosta.\nFYND: Ingen v\u00e4tska.\nSLUTSATS: Normalt."
    card = prepare(source(kind, text, sections="findings+impression"), tmp_path / "whole")
    assert card["texts_kept_whole"] == 1
    card = prepare(source(kind, REPORT, sections="findings+impression"), tmp_path / "known")
    assert "texts_kept_whole" not in card


def test_a_form_in_a_column_is_read_line_by_line(source, tmp_path):
    text = "FINDINGS: Consolidation: No\nCardiomegaly: Yes\nIMPRESSION: Edema: none"
    (study,) = studies(source("csv", text, rule_labels=True).open())
    assert dict(study.labels) == {"cardiomegaly": 1, "consolidation": 0, "edema": 0, "no finding": 0}


def test_a_form_in_a_column_of_findings_is_read_line_by_line(tmp_path, grey, encoded):
    (tmp_path / "a.png").write_bytes(encoded(grey))
    with (tmp_path / "reports.csv").open("w", newline="") as file:
        cells = ["a.png", "p", "A report.", "No consolidation\nLarge effusion seen"]
        csv.writer(file).writerows([["image", "patient_id", "text", "findings"], cells])
    source = CsvSource(path=tmp_path / "reports.csv", findings="findings", rule_labels=True)
    (study,) = studies(source.open())
    assert dict(study.labels) == {"consolidation": 0, "no finding": 0, "pleural effusion": 1}
