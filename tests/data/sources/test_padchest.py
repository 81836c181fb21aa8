"""PadChest, from a tiny tree of its layout."""

import csv

import pytest

from medistill.data.corpus import open_corpus, training_rows
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import PadchestSource
from medistill.data.study import Reject, Study
from medistill.errors import CallError

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
HEADER = (
    *(
        "",
        "ImageID",
        "ImageDir",
        "StudyDate_DICOM",
        "StudyID",
        "PatientID",
        "PatientBirth",
        "PatientSex_DICOM",
    ),
    *("ViewPosition_DICOM", "Projection", "MethodProjection", "ReportID", "Report", "MethodLabel", "Labels"),
)
HEART = "['cardiomegaly', ' pleural effusion']"
ROWS = tuple(
    (
        str(number),
        image,
        folder,
        date,
        study,
        patient,
        birth,
        sex,
        "",
        view,
        "Manual",
        study,
        report,
        by,
        labels,
    )
    for number, (image, folder, date, study, patient, birth, sex, view, report, by, labels) in enumerate(
        [
            ("1a.png", "0", "20140915", "s1", "p1", "1930.0", "F", "PA", "gran .", "Physician", HEART),
            ("1b.png", "0", "20140915", "s1", "p1", "1930.0", "F", "L", "gran .", "Physician", HEART),
            (
                "2a.png",
                "17",
                "20150101",
                "s2",
                "p2",
                "",
                "M",
                "AP_horizontal",
                "sin .",
                "Physician",
                "['normal']",
            ),
            (
                "3a.png",
                "17",
                "20150101",
                "s3",
                "p3",
                "1980.0",
                "O",
                "COSTAL",
                "bas .",
                "RNN_model",
                "['mass']",
            ),
        ]
    )
)


def write_table(tree, rows):
    with (tree / TABLE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


@pytest.fixture
def tree(tmp_path):
    for row, study in zip(ROWS, phantom_studies(4), strict=True):
        folder = tmp_path / row[2]
        folder.mkdir(exist_ok=True)
        (folder / row[1]).write_bytes(study.images[0].image)
    write_table(tmp_path, ROWS)
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(PadchestSource(path=path, **options).open()))


def changed(number, **cells):
    """The rows with cells of one changed, by column."""
    row = [cells.get(column, cell) for column, cell in zip(HEADER, ROWS[number], strict=True)]
    return [*ROWS[:number], row, *ROWS[number + 1 :]]


def test_the_report_is_the_text_of_each_of_its_images(tree):
    items = read(tree)
    assert [(item.patient_id, item.study_id) for item in items] == [
        *[("p1", "s1")] * 2,
        ("p2", "s2"),
        ("p3", "s3"),
    ]
    assert items[0].text == items[1].text == "gran ."
    assert [item.images[0].view for item in items] == ["PA", "lateral", "AP", None]
    assert [item.sex for item in items] == ["F", "F", "M", None]
    assert [item.age for item in items] == [84.0, 84.0, None, 35.0]
    assert {item.date for item in items} == {None}


def test_labels_are_those_of_physicians_and_all_they_did_not_give_are_absent(tree):
    assert PadchestSource(path=tree).open().findings == ("cardiomegaly", "normal", "pleural effusion")
    first, _, third, fourth = read(tree)
    assert first.labels == {"cardiomegaly": 1, "normal": 0, "pleural effusion": 1}
    assert third.labels == {"cardiomegaly": 0, "normal": 1, "pleural effusion": 0}
    assert fourth.labels == {}


@pytest.mark.parametrize("folder", ["images", "."])
def test_images_may_lie_in_one_folder(tree, folder):
    (tree / folder).mkdir(exist_ok=True)
    for path in list(tree.glob("*/*.png")):
        path.rename(tree / folder / path.name)
    assert all(isinstance(item, Study) for item in read(tree))


def test_it_can_be_trained_on(tree):
    prepare(PadchestSource(path=tree), tree / "corpus", val=0.0, test=0.0)
    train, val = training_rows(open_corpus(tree / "corpus"))
    assert len(train) + len(val) == 4


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"Report": " . "}, "empty text"),
        ({"Report": ""}, "empty text"),
        ({"StudyID": ""}, "no StudyID"),
        ({"PatientID": ""}, "no PatientID"),
        ({"ImageID": "9.png"}, "no such image file"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_reason(tree, cells, reason):
    write_table(tree, changed(2, **cells))
    reject = read(tree)[2]
    assert (reject.row, reject.reason) == (3, reason)


def test_an_empty_cell_of_labels_states_nothing(tree):
    write_table(tree, changed(2, Labels=""))
    assert read(tree)[2].labels == {}


@pytest.mark.parametrize("cell", ["Doe", "['Doe'", "Doe()", "1", "[1]"])
def test_a_cell_of_labels_that_is_no_list_is_told_by_its_row(tree, cell):
    write_table(tree, changed(2, Labels=cell))
    with pytest.raises(CallError, match=r"column `Labels`.*row 3: not a list") as error:
        read(tree)
    assert "Doe" not in str(error.value)


def test_a_table_or_column_that_is_missing_is_named(tree):
    path = tree / TABLE
    path.write_text(path.read_text().replace("MethodLabel", "Method"))
    with pytest.raises(CallError, match="no column `MethodLabel`; it has ImageID"):
        read(tree)
    path.unlink()
    with pytest.raises(CallError, match=f"no {TABLE} in"):
        read(tree)


@pytest.mark.parametrize("column", ["StudyID", "PatientID"])
def test_ids_that_a_spreadsheet_has_rounded_are_an_error(tree, column):
    write_table(tree, changed(1, **{column: "2.16840111366964E+44"}))
    with pytest.raises(CallError, match=f"column `{column}` of PADCHEST.*, row 2: .* has rounded"):
        read(tree)
