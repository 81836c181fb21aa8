import csv
import datetime
import multiprocessing
import os
import re

import numpy as np
import pydicom
import pytest

from medistill.data.corpus import open_corpus
from medistill.data.prepare import prepare, studies
from medistill.data.prepare.rejects import path_id
from medistill.data.sources import DicomSource
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError
from tests.dicoms import dicom, item

PAIR = {"accession": "A1", "text": "Clear lungs."}


@pytest.fixture
def tree(tmp_path, grey):
    """Write DICOM files by their changes, each a study of its own by default, and rows of reports."""

    def make(files, reports):
        for number, (name, changes) in enumerate(files.items(), start=1):
            path = tmp_path / "export" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            values = {"SOPInstanceUID": f"1.1.{number}", "StudyInstanceUID": f"1.2.{number}"}
            path.write_bytes(dicom(grey, **(values | {"PatientID": f"P{number}"} | changes)))
        columns = list(dict.fromkeys(column for row in reports for column in row))
        with (tmp_path / "reports.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, columns)
            table.writeheader()
            table.writerows(reports)
        return tmp_path / "export"

    return make


def read(root, **options) -> list[Study | Reject]:
    options = {"reports": root.parent / "reports.csv"} | options
    return list(studies(DicomSource(path=root, **options).open()))


def found(items):
    return {(item.study_id, item.text, len(item.images)) for item in items if isinstance(item, Study)}


def aside(items):
    return {(item.path, item.reason, item.skipped) for item in items if isinstance(item, Reject)}


def test_images_and_reports_are_joined_by_accession_number(tree):
    root = tree(
        {"a": {"AccessionNumber": "A1"}, "b.dcm": {"AccessionNumber": "A1", "PatientID": "P1"}, "d/c.1": {}}
        | {"d/c.1": {"AccessionNumber": "A2"}},
        [PAIR, {"accession": "A2", "text": "Effusion."}],
    )
    assert found(read(root)) == {("1.2.1", "Clear lungs.", 2), ("1.2.3", "Effusion.", 1)}


def test_images_and_reports_are_joined_by_study(tree):
    root = tree(
        {"a": {}, "b": {}}, [{"study_uid": "1.2.2", "text": "B."}, {"study_uid": "1.2.1", "text": "A."}]
    )
    assert found(read(root, join="study")) == {("1.2.1", "A.", 1), ("1.2.2", "B.", 1)}


@pytest.mark.parametrize("names", [("d/a.dcm", "d/b.dcm"), ("a.dcm", "b.dcm"), ("a", "b"), ("d/a", "./d\\b")])
def test_images_and_reports_are_joined_by_file_name(tree, names):
    root = tree({"d/a.dcm": {}, "d/b.dcm": {}}, [{"file": name, "text": f"Of {name[-1]}."} for name in names])
    assert {study for study, *_ in found(read(root, join="file"))} == {"1.2.1", "1.2.2"}


def test_reports_may_be_text_files_named_by_the_key(tree, tmp_path):
    root = tree({"a": {"AccessionNumber": "A1"}, "b": {"AccessionNumber": "A2"}}, [PAIR])
    folder = root / "reports"  # inside the tree: its files are no images
    (folder / "more").mkdir(parents=True)
    (folder / "A1.txt").write_text("Clear lungs.")
    (folder / "more" / "A2.TXT").write_text("Effusion.")
    items = read(root, reports=folder)
    assert found(items) == {("1.2.1", "Clear lungs.", 1), ("1.2.2", "Effusion.", 1)}
    assert not aside(items)


def test_columns_are_named_by_flags(tree):
    report = {"acc": "A1", "f": "Clear.", "i": "Normal.", "findings": "Clear lungs."}
    root = tree({"a": {}}, [report])
    (study,) = read(root, key="acc", text=("f", "i"), impression="i")
    assert (study.text, study.findings, study.impression) == ("Clear. Normal.", "Clear lungs.", "Normal.")
    with pytest.raises(CallError, match=r"no column `accession`.*--key"):
        read(root)


def test_what_a_header_says_reaches_the_study(tree):
    header = {"PatientSex": "F", "PatientAge": "045Y", "StudyDate": "20200131", "ViewPosition": "AP"}
    (study,) = read(tree({"a": header | {"IssuerOfPatientID": "H1"}}, [PAIR]))
    assert (study.sex, study.age, study.date) == ("F", 45.0, datetime.date(2020, 1, 31))
    assert (study.patient_id, study.images[0].view, study.source) == ("H1\\P1", "AP", "dicom")


def test_the_same_patient_id_of_two_issuers_is_two_patients(tree):
    files = {
        name: {"AccessionNumber": name, "PatientID": "7", "IssuerOfPatientID": issuer}
        for name, issuer in (("A1", "H1"), ("A2", "H2"), ("A3", ""))
    }
    items = read(tree(files, [{"accession": name, "text": "Clear."} for name in files]))
    assert len({study.patient_id for study in items}) == 3


def test_a_report_of_several_accession_numbers_is_one_study(tree):
    files = {"a": {"AccessionNumber": "A1"}, "b": {"AccessionNumber": "A2", "PatientID": "P1"}}
    root = tree(files, [{"accession": "A1; A2", "text": "Chest and knee."}])
    assert found(read(root)) == {("1.2.1", "Chest and knee.", 2)}
    assert (
        DicomSource(path=root, reports=root.parent / "reports.csv")
        .open()
        .notes["join"]["reports_of_several_keys"]
        == 1
    )


def test_an_image_goes_with_one_report_only(tree):
    rows = [{"accession": "A1;A2", "text": "Both."}, {"accession": "A2;A3", "text": "Late."}]
    files = {name: {"AccessionNumber": name, "PatientID": "P"} for name in ("A1", "A2", "A3")}
    files["A2"]["AccessionNumber"] = "A1\\A2"
    items = read(tree(files, rows))
    assert found(items) == {("1.2.1", "Both.", 2), ("1.2.3", "Late.", 1)}


VERSIONS = [("preliminary", "First."), ("Final", "Second."), ("preliminary", "Third.")]


@pytest.mark.parametrize(("column", "text"), [("status", "Second."), ("state", "Third.")])
def test_of_several_versions_of_a_report_the_final_one_is_taken_else_the_last(tree, column, text):
    rows = [{"accession": "A1", column: status, "text": version} for status, version in VERSIONS]
    items = read(tree({"a": {}}, rows))
    assert found(items) == {("1.2.1", text, 1)}
    reason = "report of which a later or final version is taken"
    assert [item.reason for item in items if isinstance(item, Reject)] == [reason] * 2


def test_a_final_version_without_text_does_not_hide_the_one_with_text(tree):
    rows = [PAIR | {"status": "preliminary"}, {"accession": "A1", "text": " - ", "status": "final"}]
    items = read(tree({"a": {}}, rows))
    assert found(items) == {("1.2.1", "Clear lungs.", 1)}
    assert aside(items) == {("A1", "empty text", True)}


def test_leftovers_are_listed_and_only_images_without_report_count_as_faults(tree):
    files = {"a": {"AccessionNumber": "A1"}, "b": {"AccessionNumber": "A2"}}
    items = read(tree(files, [PAIR, {"accession": "A9", "text": "Elsewhere."}]))
    assert aside(items) == {
        ("b", "no report goes with the image", False),
        ("A9", "no image goes with the report", True),
    }


def test_what_is_no_image_is_skipped_by_class(tree):
    files = {
        "a": {},
        "sr": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"},
        "ko": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59"},
        "pr": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"},
        "pdf": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"},
    }
    skipped = aside(read(tree(files, [PAIR])))
    assert {path for path, _, by_rule in skipped if by_rule} == {"sr", "ko", "pr", "pdf"}
    assert len({reason for _, reason, _ in skipped}) == 4


def test_files_that_are_not_dicom_are_rejected_if_they_claim_to_be(tree):
    root = tree({"a": {}}, [PAIR])
    (root / "page.dcm").write_text("<!DOCTYPE html><html>")
    (root / "readme.txt").write_text("Export of the year")
    (root / "DICOMDIR").write_text("index")
    (root / ".hidden").write_text("")
    assert aside(read(root)) == {
        ("page.dcm", "not a DICOM file but an HTML page", False),
        ("readme.txt", "not a DICOM file", True),
    }


def test_a_broken_image_leaves_the_rest_of_its_study(tree):
    root = tree({"a": {}, "b": {"PatientID": "P1"}}, [PAIR])
    (root / "b").write_bytes((root / "b").read_bytes()[:-50])
    items = read(root)
    assert found(items) == {("1.2.1", "Clear lungs.", 1)}
    assert [reason for _, reason, _ in aside(items)] == [
        "broken DICOM image: truncated or damaged pixel data"
    ]


@pytest.mark.parametrize("name", ["README", "LISTING.1", "a/VERSION", "notes.2024"])
@pytest.mark.parametrize("text", ["Chest, PA.\n", "M\u00fcller & S\u00f8n\r\n", "\ufeffDISK 1\n"])
def test_a_text_without_an_extension_is_a_bystander(tree, name, text):
    root = tree({"a/x": {}}, [PAIR])
    (root / name).write_text(text, "utf-8")
    assert aside(read(root)) == {(name, "not a DICOM file", True)}


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("IM1", b"<!DOCTYPE html><html>login", "not a DICOM file but an HTML page"),
        ("IM1", b"version https://git-lfs.github.com/spec/v1\n", "not a DICOM file but a git-lfs pointer"),
        ("IM1.dcm", b"no such study\n", "not a DICOM file"),
        ("IM1", b"", "not a DICOM file"),
        ("1.2.840.7", bytes(range(256)), "not a DICOM file"),
    ],
)
def test_what_stands_in_the_place_of_an_image_is_a_fault(tree, name, data, reason):
    root = tree({"a": {}}, [PAIR])
    (root / name).write_bytes(data)
    ((path, found_reason, skipped),) = aside(read(root))
    assert (path, skipped) == (name, False)
    assert found_reason.startswith(reason)


def test_texts_without_an_extension_do_not_stop_the_preparation(tree, tmp_path):
    root = tree({"x/a": {}}, [PAIR])
    for number in range(5):
        (root / f"README{number}").write_text("Images of one visit.\n")
    card = prepare(DicomSource(path=root, reports=tmp_path / "reports.csv"), tmp_path / "corpus")
    assert card["rejected"]["count"] == 0
    assert card["skipped"] == {"count": 5, "reasons": {"not a DICOM file": 5}}


def test_an_image_without_pixels_is_not_one_that_lacks_a_report(tree, tmp_path):
    root = tree(
        {"a": {}, "b": {"AccessionNumber": "A9"}, "c": {"AccessionNumber": "A8", "Rows": None}}, [PAIR]
    )
    for name in "bc":
        dataset = pydicom.dcmread(root / name)
        del dataset.PixelData
        dataset.save_as(root / name)
    reason = "not an image: the DICOM file holds no pixel data, or is cut before it"
    source = DicomSource(path=root, reports=tmp_path / "reports.csv").open()
    assert aside(studies(source)) == {("b", reason, False), ("c", reason, True)}
    assert source.notes["join"]["images_without_report"] == 0


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        ("1.2.840.10008.5.1.4.39.1", "a color palette"),
        ("1.2.840.10008.5.1.4.38.1", "a hanging protocol"),
        ("1.2.840.10008.5.1.4.1.1.91.1", "bulk annotations"),
        ("1.2.840.10008.5.1.4.1.1.66.7", "a label map segmentation"),
    ],
)
def test_what_is_no_image_is_skipped_by_name(tree, sop_class, kind):
    items = read(tree({"a": {}, "b": {"SOPClassUID": sop_class}}, [PAIR]))
    assert aside(items) == {("b", f"not an image but {kind}", True)}


def test_an_index_of_a_disk_under_another_name_is_skipped_by_name(tree):
    root = tree({"a": {}, "b": {}}, [PAIR])
    dataset = pydicom.dcmread(root / "b")
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    for keyword in ("SOPClassUID", "PixelData", "Rows", "Modality"):
        delattr(dataset, keyword)
    dataset.save_as(root / "b")
    assert aside(read(root)) == {("b", "not an image but a DICOMDIR", True)}


def test_pictures_taken_by_the_word_of_their_pixels_are_counted(tree, tmp_path):
    root = tree({"a": {}, "b": {"PatientID": "P1"}}, [PAIR])
    pixels = np.arange(192, dtype=np.uint16).reshape(12, 16) * 20
    low = {"BitsStored": 12, "HighBit": 15, "StudyInstanceUID": "1.2.1", "SOPInstanceUID": "1.1.2"}
    (root / "b").write_bytes(dicom(pixels, **low))
    card = prepare(DicomSource(path=root, reports=tmp_path / "reports.csv"), tmp_path / "corpus")
    assert (card["images"], card["rejected"]["count"]) == (2, 0)
    ((reason, count),) = card["skipped"]["reasons"].items()
    assert reason.startswith("taken all the same: values read from the low bits")
    assert count == 1


def test_the_bar_ends_at_its_total(tree, tmp_path):
    files = {name: {"PatientID": "P1"} for name in "abc"} | {"d": {"AccessionNumber": "A2"}}
    reports = [
        PAIR,
        {"accession": "", "text": "Lost."},
        {"accession": "A1", "text": "Clear."},
        {"accession": "A7"},
    ]
    root = tree(files, reports)
    for name in "bc":  # one study, and a reject for each of two files
        (root / name).write_bytes((root / name).read_bytes()[:-50])
    source = DicomSource(path=root, reports=tmp_path / "reports.csv")
    told = []
    prepare(source, tmp_path / "corpus", allow_rejects=True, on_progress=lambda *what: told.append(what))
    assert all(done <= total for _, done, total in told)
    assert told[-1][1] == told[-1][2]
    assert source.open().expected == 5  # four reports and one image that goes with none


RAW, SHOWN = {"PresentationIntentType": "FOR PROCESSING"}, {"PresentationIntentType": "FOR PRESENTATION"}


def test_images_for_processing_are_set_aside_unless_asked_for(tree):
    root = tree({"a": SHOWN, "b": RAW | {"PatientID": "P1"}}, [PAIR])
    items = read(root)
    assert found(items) == {("1.2.1", "Clear lungs.", 1)}
    assert aside(items) == {("b", "image FOR PROCESSING", True)}
    assert found(read(root, for_processing=True)) == {("1.2.1", "Clear lungs.", 2)}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ({}, {"SourceImageSequence": [item(ReferencedSOPInstanceUID="1.1.1")]}),
        ({"IrradiationEventUID": "1.7"}, {"IrradiationEventUID": "1.7"}),
    ],
)
def test_of_a_processed_and_an_unprocessed_twin_the_processed_one_is_taken(tree, raw, shown):
    root = tree({"a": RAW | raw, "b": SHOWN | shown | {"PatientID": "P1"}}, [PAIR])
    items = read(root, for_processing=True)
    assert found(items) == {("1.2.2", "Clear lungs.", 1)}
    assert aside(items) == {("a", "unprocessed twin of an image that is taken", True)}


def test_two_processed_versions_of_one_exposure_are_both_taken(tree):
    event = SHOWN | {"IrradiationEventUID": "1.7", "PatientID": "P1"}
    assert found(read(tree({"a": event, "b": event}, [PAIR]))) == {("1.2.1", "Clear lungs.", 2)}


def test_a_repeated_file_is_taken_once(tree):
    same = {"SOPInstanceUID": "1.1.7", "StudyInstanceUID": "1.2.7", "PatientID": "P"}
    items = read(tree({"a": same, "copy/a": same}, [PAIR]))
    assert found(items) == {("1.2.7", "Clear lungs.", 1)}
    assert aside(items) == {("copy/a", "same SOP instance UID as a file before it", True)}


def test_one_report_for_two_patients_is_rejected(tree):
    items = read(tree({"a": {}, "b": {}}, [PAIR]))
    reason = "one report for images of several patients"
    assert aside(items) == {("a", reason, False), ("b", reason, False)}


def test_an_image_without_patient_id_is_rejected_unless_studies_are_patients(tree):
    root = tree({"a": {"PatientID": ""}}, [PAIR])
    assert aside(read(root)) == {("a", "no patient id", False)}
    (study,) = read(root, patient_is_study=True)
    assert study.patient_id == study.study_id == "1.2.1"


def test_all_frames_of_an_image_can_be_taken(tree, grey):
    root = tree({"a": {}}, [PAIR])
    (root / "a").write_bytes(dicom(np.stack([grey] * 3), StudyInstanceUID="1.2.1"))
    assert [len(read(root, frames=frames)[0].images) for frames in ("middle", 2, "all")] == [1, 1, 3]


def test_headers_are_read_in_processes_of_their_own_and_give_the_same(tree):
    root = tree({"a": {}, "b": {"PatientID": "P1"}, "c": {"AccessionNumber": "A3"}}, [PAIR])
    (root / "page.dcm").write_text("<!DOCTYPE html><html>")
    source = DicomSource(path=root, reports=root.parent / "reports.csv")
    told, helpers = [], []

    def watch(*what):
        told.append(what)
        helpers.append(len(multiprocessing.active_children()))

    assert list(studies(source.scan(2, watch))) == list(studies(source.open()))
    assert told == [("reading headers", done, 4) for done in range(1, 5)]
    assert min(helpers) >= 1


def test_preparation_reads_headers_in_its_processes_and_says_so(tree, tmp_path):
    source = DicomSource(path=tree({"a": {}}, [PAIR]), reports=tmp_path / "reports.csv")
    told = []
    prepare(source, tmp_path / "corpus", workers=1, on_progress=lambda *what: told.append(what))
    assert told == [("reading headers", 1, 1), ("preparing dicom", 1, 1)]


def test_a_pipe_is_not_waited_for(tree):
    root = tree({"a": {}}, [PAIR])
    os.mkfifo(root / "b")  # nobody writes: whoever opens it waits forever
    source = DicomSource(path=root, reports=root.parent / "reports.csv")
    items = list(studies(source.scan(1)))
    assert found(items) == {("1.2.1", "Clear lungs.", 1)}
    assert aside(items) == {("b", "not a file but a named pipe", False)}


def test_it_is_told_beforehand_how_many_studies_and_rejects_there_will_be(tree):
    files = {"a": {}, "b": {"PatientID": "P1"}, "c": {"AccessionNumber": "A3"}}
    root = tree(files | {"sr": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}}, [PAIR])
    reading = DicomSource(path=root, reports=root.parent / "reports.csv").open()
    assert reading.expected == len(list(studies(reading))) == 3


def test_the_card_counts_what_was_joined_and_what_was_not(tree, tmp_path):
    files = {
        "a": {"ViewPosition": "PA", "BurnedInAnnotation": "YES"},
        "b": {"AccessionNumber": "A2", "StudyInstanceUID": "1.2.x"},
        "c": {"AccessionNumber": "A3"},
        "sr": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"},
    }
    reports = [PAIR, {"accession": "A2", "text": "Effusion."}, {"accession": "A9", "text": "Gone."}]
    source = DicomSource(path=tree(files, reports), reports=tmp_path / "reports.csv")
    card = prepare(source, tmp_path / "corpus", allow_rejects=True, workers=2)
    assert card == open_corpus(tmp_path / "corpus").card
    assert card["join"] == {
        "by": "accession",
        "matched_studies": 2,
        "matched_images": 2,
        "images_without_report": 1,
        "reports_without_image": 1,
        "reports_of_several_keys": 0,
        "images_without_view": 1,
        "images_with_burned_in_annotation": 1,
        "images_with_warnings": 1,
    }
    assert card["rejected"] == {"count": 1, "reasons": {"no report goes with the image": 1}}
    assert card["skipped"]["count"] == 2
    with (tmp_path / "corpus" / "rejected.csv").open() as file:
        listed = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert listed[path_id("c")] == "no report goes with the image"
    assert listed[path_id("A9")] == "no image goes with the report"
    assert not {"path", "reports"} & card["made_with"].keys()


def test_what_is_skipped_by_rule_does_not_stop_the_preparation(tree, tmp_path):
    raw = {f"r{number}": RAW for number in range(5)}
    source = DicomSource(path=tree({"a": {}} | raw, [PAIR]), reports=tmp_path / "reports.csv")
    assert prepare(source, tmp_path / "corpus")["skipped"]["count"] == 5


def test_headers_are_read_without_their_pixels(tree, grey, monkeypatch):
    root = tree({"a": {}}, [PAIR])
    os.truncate(root / "a", (root / "a").stat().st_size - grey.size)  # nothing but the header is left
    source = DicomSource(path=root, reports=root.parent / "reports.csv")
    assert source.open().notes["join"]["matched_images"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reports": None}, "--reports"),
        ({"frames": 0}, "--frames"),
        ({"size": 3}, "--size"),
        ({"text": ()}, "--text"),
    ],
)
def test_options_that_cannot_work_are_call_errors(tree, options, message):
    root = tree({"a": {}}, [PAIR])
    with pytest.raises(CallError, match=message):
        read(root, **options)


def test_a_tree_without_an_image_says_what_it_holds(tree, tmp_path):
    root = tree({"sr": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}}, [PAIR])
    with pytest.raises(CallError, match=r"of 1 files 1 are set aside: not an image but a structured report"):
        read(root)


def test_reports_without_a_usable_row_are_an_error(tree):
    root = tree({"a": {}}, [{"accession": "", "text": "Clear."}, {"accession": "A1", "text": ""}])
    with pytest.raises(MedistillError, match="no report has both a key and a text"):
        read(root)


def test_an_image_without_an_issuer_is_of_the_patient_of_the_only_issuer(tree):
    files = {"a": {"AccessionNumber": "A1", "PatientID": "7", "IssuerOfPatientID": "H1"}}
    files |= {
        "b": {"AccessionNumber": "A1", "PatientID": "007"},
        "c": {"AccessionNumber": "A2", "PatientID": "7 "},
    }
    root = tree(files, [PAIR, {"accession": "A2", "text": "Effusion."}])
    source = DicomSource(path=root, reports=root.parent / "reports.csv").open()
    assert {study.patient_id for study in studies(source)} == {"H1\\7"}
    assert source.notes["patient_ids"] == {"unified": 1, "by": {"issuer": 1}} | source.notes["patient_ids"]


LOOSE = [("500.0", "500", "decimals"), ("0500", "500", "leading zeros"), ("a500", "A500", "case")]


@pytest.mark.parametrize(("key", "accession", "kind"), [*LOOSE, ("A-500", "A500", "separators")])
def test_a_join_that_misses_by_form_says_how_many_would_match(tree, tmp_path, key, accession, kind):
    files = {"a": {"AccessionNumber": accession}, "b": {"AccessionNumber": "900"}}
    root = tree(files, [{"accession": key, "text": "Clear."}, {"accession": "700", "text": "Clear."}])
    reason = f"1 of 2 such images would match if {kind} were ignored (--loose-ids)"
    source = DicomSource(path=root, reports=root.parent / "reports.csv")
    with pytest.raises(MedistillError, match=re.escape(reason)):
        prepare(source, tmp_path / "corpus")


@pytest.mark.parametrize(("key", "accession", "kind"), LOOSE)
def test_a_loose_join_takes_a_match_that_is_unique_on_both_sides(tree, key, accession, kind):
    reports = [{"accession": key, "text": "Clear."}, {"accession": "800", "text": "Edema."}]
    files = {"a": {"AccessionNumber": accession}, "b": {"AccessionNumber": "800"}}
    root = tree(files, reports)
    source = DicomSource(path=root, reports=root.parent / "reports.csv", loose_ids=True).open()
    assert found(studies(source)) == {("1.2.1", "Clear.", 1), ("1.2.2", "Edema.", 1)}
    assert source.notes["join"]["matched_by_another_spelling"] == 1


def test_a_loose_join_leaves_what_two_could_be(tree):
    files = {"a": {"AccessionNumber": "500"}, "b": {"AccessionNumber": "0500"}, "c": {"AccessionNumber": "1"}}
    root = tree(files, [{"accession": "500.0", "text": "Clear."}, {"accession": "1", "text": "Edema."}])
    assert found(read(root, loose_ids=True)) == {("1.2.3", "Edema.", 1)}


def test_a_key_that_a_spreadsheet_has_rounded_is_an_error(tree):
    root = tree({"a": {"AccessionNumber": "123456789012"}}, [{"accession": "1.23457E+11", "text": "Clear."}])
    with pytest.raises(CallError, match=r"column `accession` of reports.csv, row 1: .* has rounded") as error:
        read(root)
    assert "23457" not in str(error.value)


def test_a_corpus_made_before_there_were_loose_joins_has_the_same_options(tmp_path):
    assert "loose_ids" not in DicomSource(path=tmp_path).made_with()
