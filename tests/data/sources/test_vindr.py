"""VinDr-CXR, from a tiny tree of its layout."""

import csv

import numpy as np
import pytest

pytest.importorskip("pydicom")
from medistill.data.corpus import open_corpus
from medistill.data.image import decode_stored
from medistill.data.prepare import prepare, studies
from medistill.data.sources import VindrSource
from medistill.data.sources.vindr import FINDINGS
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError
from tests.dicoms import dicom

LABELS = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
    *("COPD", "Lung tumor", "Pneumonia", "Tuberculosis"),
)
READ = (
    ("a1", "R8", {"Cardiomegaly", "Pneumonia"}),
    ("a1", "R9", {"Cardiomegaly", "Other diseases"}),
    ("a1", "R10", {"No finding"}),
    *(("a2", f"R{reader}", {"No finding"}) for reader in (1, 2, 3)),
)
TESTED = (("t1", {"Nodule/Mass", "Other disease"}), ("t2", {"No finding"}))
BOXES = (
    ("a1", "R8", "Cardiomegaly", "10", "20", "30", "40"),
    ("a1", "R9", "Cardiomegaly", "12.5", "18", "50", "60"),
    ("a1", "R10", "No finding", "", "", "", ""),
    *(("a2", f"R{reader}", "No finding", "", "", "", "") for reader in (1, 2, 3)),
)
TESTED_BOXES = (("t1", "Nodule/Mass", "0", "8", "20", "16"), ("t2", "No finding", "", "", "", ""))
CORNERS = ("x_min", "y_min", "x_max", "y_max")


def write_table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def tree(tmp_path):
    """Two images to train on, each read by three, and two to test on; 60 pixels wide and 80 high."""
    for folder in ("annotations", "train", "test"):
        (tmp_path / folder).mkdir()
    tables = tmp_path / "annotations"
    columns = {
        "train": (*LABELS, "Other diseases", "No finding"),
        "test": (*LABELS, "Other disease", "No finding"),
    }
    read = [(image, by, *(int(name in found) for name in columns["train"])) for image, by, found in READ]
    write_table(tables / "image_labels_train.csv", ("image_id", "rad_id", *columns["train"]), read)
    tested = [(image, *(int(name in found) for name in columns["test"])) for image, found in TESTED]
    write_table(tables / "image_labels_test.csv", ("image_id", *columns["test"]), tested)
    write_table(tables / "annotations_train.csv", ("image_id", "rad_id", "class_name", *CORNERS), BOXES)
    write_table(tables / "annotations_test.csv", ("image_id", "class_name", *CORNERS), TESTED_BOXES)
    pixels = np.random.default_rng(0).integers(0, 4096, (80, 60), dtype=np.uint16)
    for name in ("train/a1", "train/a2", "test/t1", "test/t2"):
        (tmp_path / f"{name}.dicom").write_bytes(dicom(pixels, BitsStored=12))
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(VindrSource(path=path, **options).open()))


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def present(study):
    assert set(study.labels) == set(FINDINGS)
    return {finding for finding, state in study.labels.items() if state}


def test_an_image_shows_what_any_of_its_readers_found(tree):
    first, second, *_ = read(tree)
    assert present(first) == {"cardiomegaly", "pneumonia", "other diseases"}
    assert present(second) == {"no finding"}


def test_the_test_set_has_one_reading_and_the_same_findings(tree):
    *_, first, second = read(tree)
    assert present(first) == {"nodule/mass", "other diseases"}
    assert present(second) == {"no finding"}


def test_each_image_is_a_patient_of_the_published_split_without_a_report(tree):
    items = read(tree)
    assert [(item.patient_id, item.study_id, item.split) for item in items] == [
        ("a1", "a1", "train"),
        ("a2", "a2", "train"),
        ("t1", "t1", "test"),
        ("t2", "t2", "test"),
    ]
    assert {(item.text, item.images[0].view) for item in items} == {(NO_REPORT, "PA")}


def test_the_boxes_of_all_readers_are_kept_in_pixels_of_the_image(tree):
    first, second, third, _ = read(tree)
    assert decode_stored(first.images[0].image).shape == (80, 60)
    assert first.images[0].boxes == {"cardiomegaly": (10.0, 20.0, 30.0, 40.0, 12.5, 18.0, 50.0, 60.0)}
    assert second.images[0].boxes == {}
    assert third.images[0].boxes == {"nodule/mass": (0.0, 8.0, 20.0, 16.0)}


def test_boxes_shrink_with_the_image(tree):
    first = read(tree, size=40)[0]
    assert decode_stored(first.images[0].image).shape == (40, 30)
    assert first.images[0].boxes["cardiomegaly"][:4] == (5.0, 10.0, 15.0, 20.0)


def test_a_corpus_of_it_says_how_readings_became_labels(tree):
    card = prepare(VindrSource(path=tree), tree / "corpus")
    assert card["made_with"]["readers"] == "any of three to train on, consensus to test on"
    assert open_corpus(tree / "corpus").splits == ("train", "test")


def test_an_image_that_is_not_there_is_rejected(tree):
    (tree / "test" / "t1.dicom").unlink()
    reject = read(tree)[2]
    assert (reject.row, reject.reason, reject.path) == (3, "no such image file", "test/t1.dicom")


def test_a_file_that_is_no_dicom_is_rejected(tree):
    (tree / "train" / "a1.dicom").write_bytes(b"<html>")
    assert "an HTML page" in read(tree)[0].reason


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ["image_labels", "annotations"])
def test_a_table_that_is_missing_is_named(tree, name, split):
    (tree / "annotations" / f"{name}_{split}.csv").unlink()
    with pytest.raises(CallError, match=rf"no {name}_{split}.csv in .*: name the folder of the published"):
        read(tree)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("image_labels_train", "Lung cyst"),
        ("image_labels_train", "Other diseases"),
        ("image_labels_test", "Other disease"),
        ("annotations_train", "class_name"),
        ("annotations_test", "y_max"),
    ],
)
def test_a_column_that_is_missing_is_named(tree, table, column):
    rewrite(tree / "annotations" / f"{table}.csv", column, "something")
    with pytest.raises(CallError, match=f"{table}.csv has no column `{column}`; it has image_id"):
        read(tree)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (
            "image_labels_train",
            "a1,R8,0",
            "a1,R8,Doe",
            "column `Aortic enlargement`.* row 1: neither 1 nor 0",
        ),
        ("image_labels_train", "a1,R8,0", "a1,R8,-1", "column `Aortic enlargement`.* row 1: neither 1 nor 0"),
        ("image_labels_train", "a1,R8,0", "a1,R8", "row 1: 29 cells where the header has 30"),
        ("image_labels_test", "t2,", "t1,", r"1 image\(s\) are in image_labels_test.csv more than once"),
        ("image_labels_test", "t2,", "a2,", r"1 patient\(s\) are in two splits by the two tables of labels"),
        (
            "annotations_train",
            "R8,Cardiomegaly",
            "R8,Doe",
            "column `class_name`.* row 1: none of the published",
        ),
        ("annotations_train", "10,20,30,40", "10,20,30,", "row 1: x_min, y_min, x_max, y_max are no box"),
        ("annotations_train", "10,20,30,40", "10,20,30,nan", "row 1: x_min, y_min, x_max, y_max are no box"),
        ("annotations_test", "0,8,20,16", "0,8,Doe,16", "row 1: x_min, y_min, x_max, y_max are no box"),
    ],
)
def test_a_row_that_was_not_published_is_told_by_its_number(tree, table, old, new, message):
    rewrite(tree / "annotations" / f"{table}.csv", old, new)
    with pytest.raises(CallError, match=message) as error:
        read(tree)
    assert "Doe" not in str(error.value)


def test_a_row_that_is_there_twice_changes_nothing_for_training(tree):
    path = tree / "annotations" / "image_labels_train.csv"
    before = [item.labels for item in read(tree)]
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    assert [item.labels for item in read(tree)] == before
