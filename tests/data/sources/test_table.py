"""A CSV file that is not what it should be, and what is said about it."""

import csv

import pytest

from medistill.data.prepare import studies
from medistill.data.sources import CsvSource
from medistill.errors import CallError, MedistillError


@pytest.fixture
def table(tmp_path):
    """A CSV file of these rows, the header first."""

    def write(*rows):
        path = tmp_path / "data.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        return path

    return write


def read(path, **options):
    return list(studies(CsvSource(path=path, **options).open()))


def complaint(path, **options) -> str:
    with pytest.raises(CallError) as error:
        read(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_column_is_answered_with_those_there_are_and_the_flag(table):
    path = table(("image", "patient_id", "text"))
    assert complaint(path, text=("report",)) == (
        "no column `report`; the columns are image, patient_id, text; name yours with --text"
    )
    assert "no column `side`" in (said := complaint(path, view="side"))
    assert "--view" in said


@pytest.mark.parametrize(
    "header",
    [
        ("", "image", "PatientID", "No Finding", "age (years)", "follow-up"),
        ("path", "report", "StudyInstanceUID", "No Finding", "text"),
    ],
)
def test_columns_are_listed_where_one_has_a_known_name(table, header):
    assert "No Finding" in complaint(table(header))


def test_columns_are_listed_where_one_was_asked_for(table):
    assert "the columns are bild, befund" in complaint(
        table(("bild", "befund")), image="bild", text=("befunde",)
    )


@pytest.mark.parametrize(
    "first",
    [
        ("Smith^John", "1945-02-03", "MRN00123", "a.png"),
        ("Smith", "John", "M", "Springfield"),
        ("text", "Smith", "19450203"),
        ("text", "Smith", "1945-02-03"),
        ("image", "Smith", "Feb 3 1945"),
        ("image", "Smith", "MRN 00123"),
        ("image", "O'Neill", "PA"),
        ("image", "Smith.png"),
        ("image", "Smith", "F"),
        ("image", "Smith", "lateral"),
        ("image", "Smith was seen for a cough after a week of fever."),
    ],
)
def test_a_line_that_may_be_a_patients_is_not_quoted(table, first):
    said = complaint(table(first), text=("report",))
    assert f"the first line does not look like column names ({len(first)} columns)" in said
    assert not any(cell in said for cell in first if cell not in ("text", "image"))


def test_a_missing_patient_column_quotes_no_patient_either(table):
    said = complaint(table(("image", "text", "Smith^John")))
    assert "--patient-id" in said
    assert "Smith" not in said


def test_no_text_column_quotes_no_patient_either(table):
    assert "Smith" not in complaint(table(("image", "Smith^John")), text=())


def test_a_first_line_that_repeats_itself_is_not_quoted(table):
    said = complaint(table(("Smith^John", "Smith^John", "PA")))
    assert "does not look like column names (3 columns, two of them the same)" in said
    assert "Smith" not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"image,patient_id,image,text\n", "column `image` 2 times"),
        ("image,patient_id,text\na.png,p,Müller\n".encode("latin-1"), "is not UTF-8"),
        (b"image:patient_id:text\na.png:p:Clear.\n", "columns are separated by `:`: save it with commas"),
        (b'image,"patient_id,text\na.png,p,Clear.\n', "the header of .* a quotation mark opens a cell"),
    ],
)
def test_a_broken_table_is_one_line(tmp_path, content, message):
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(MedistillError, match=message) as error:
        read(tmp_path / "data.csv")
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there_or_a_folder_is_refused(tmp_path):
    with pytest.raises(CallError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(CallError, match="is a folder"):
        read(tmp_path)
