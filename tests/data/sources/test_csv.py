import csv
import datetime
import re

import numpy as np
import pytest

from medistill.data.corpus import open_corpus
from medistill.data.prepare import prepare, studies
from medistill.data.sources import CsvSource
from medistill.data.sources.parts.cells import age_in_years, date_of, joined, view_name
from medistill.data.split import hashed_split
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError, MedistillError


@pytest.fixture
def table(tmp_path, grey, encoded):
    """Write rows as data.csv beside one image a.png; returns the file."""
    (tmp_path / "a.png").write_bytes(encoded(grey))

    def write(rows, header=("image", "patient_id", "text")):
        path = tmp_path / "data.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


def read(path, **options) -> list[Study | Reject]:
    return list(studies(CsvSource(path=path, **options).open()))


def test_the_default_columns_are_those_of_a_corpus(table):
    header = (
        "image",
        "patient_id",
        "study_id",
        "text",
        "split",
        "view",
        "sex",
        "age",
        "findings",
        "impression",
    )
    row = (
        "a.png",
        "p",
        "s",
        "Clear lungs.",
        "train",
        "ap supine",
        "female",
        "61",
        "Clear.",
        "None seen.",
    )
    (study,) = read(table([row], header))
    assert (study.patient_id, study.study_id, study.text, study.split) == ("p", "s", "Clear lungs.", "train")
    assert (study.images[0].view, study.sex, study.age) == ("AP", "F", 61.0)
    assert (study.findings, study.impression) == ("Clear.", "None seen.")


def test_dates_are_read_only_from_a_column_that_is_named(table):
    path = table([("a.png", "p", "Clear.", "2020-01-31")], ("image", "patient_id", "text", "date"))
    assert read(path)[0].date is None
    assert read(path, date="date")[0].date == datetime.date(2020, 1, 31)
    with pytest.raises(CallError, match=r"no column `day`.*--date"):
        read(path, date="day")


@pytest.mark.parametrize("empty", ["", "NaN", "NA", " "])
def test_a_split_column_without_a_split_is_none(table, empty):
    path = table([("a.png", "p", "Clear.", empty)] * 2, ("image", "patient_id", "text", "split"))
    assert [study.split for study in read(path)] == [None, None]


def test_rows_without_a_split_beside_rows_with_one_are_an_error(table):
    rows = [("a.png", str(number), "Clear.", split) for number, split in enumerate(["train", "NaN", "", "b"])]
    path = table(rows, ("image", "patient_id", "text", "split"))
    with pytest.raises(CallError, match=r"2 of 4 rows have no `split`, first row 2: .*two splits.*by hash"):
        read(path)


def test_a_row_that_is_rejected_needs_no_split(table):
    path = table(
        [("a.png", "p", "Clear.", "train"), ("", "p", "Clear.", "")], ("image", "patient_id", "text", "split")
    )
    study, reject = read(path)
    assert (study.split, reject.reason) == ("train", "no image named")


def test_columns_are_named_by_flags(table):
    path = table([("a.png", "p", "Clear.")], ("file", "person", "report"))
    (study,) = read(path, image="file", patient_id="person", text=("report",))
    assert (study.patient_id, study.text) == ("p", "Clear.")


def test_several_text_columns_are_joined_as_sentences():
    assert (
        joined(["CT", " axial. ", "", "-", "Is it a mass?", "nan", "Yes"]) == "CT. axial. Is it a mass? Yes"
    )
    assert joined(["", "...", "N/A"]) == ""


def test_rows_of_one_study_id_are_one_study_with_several_images(table, tmp_path):
    header = ("image", "patient_id", "study_id", "text")
    prepare(CsvSource(path=table([("a.png", "p", "s", "Clear.")] * 2, header)), tmp_path / "corpus")
    card = open_corpus(tmp_path / "corpus").card
    assert (card["images"], card["studies"], card["patients"]) == (2, 1, 1)


def test_without_a_study_column_each_row_is_a_study(table):
    first, second = read(table([("a.png", "p", "Clear."), ("a.png", "p", "Clear.")]))
    assert first.study_id != second.study_id


def test_label_columns_keep_the_three_states_and_leave_empty_cells_out(table):
    header = ("image", "patient_id", "text", "Edema", "Mass", "Nodule", "Fracture")
    path = table([("a.png", "p", "Clear.", "1.0", "0", "-1", "")], header)
    (study,) = read(path, labels=("Edema", "Mass", "Nodule", "Fracture"))
    assert study.labels == {"edema": 1, "mass": 0, "nodule": -1}


def test_each_value_of_a_class_column_is_a_finding(table):
    rows = [
        ("a.png", str(number), "Clear.", region)
        for number, region in enumerate(["Head", "chest ", "", "head"])
    ]
    path = table(rows, ("image", "patient_id", "text", "region"))
    assert CsvSource(path=path, classes=("region",)).open().findings == ("chest", "head")
    labels = [study.labels for study in read(path, classes=("region",))]
    assert labels == [{"chest": 0, "head": 1}, {"chest": 1, "head": 0}, {}, {"chest": 0, "head": 1}]


def test_a_label_that_is_no_number_is_named_by_column_and_row_only(table):
    path = table(
        [("a.png", "p", "Clear.", "1"), ("a.png", "p", "Clear.", "Jane Doe")],
        ("image", "patient_id", "text", "mass"),
    )
    with pytest.raises(CallError, match="label column `mass`, row 2: not 1, 0, -1 or empty") as error:
        read(path, labels=("mass",))
    assert "Jane" not in str(error.value)


def test_a_class_column_of_many_values_is_refused(table):
    path = table([("a.png", "p", f"Report {number}.") for number in range(101)])
    with pytest.raises(CallError, match="more than 100 different values"):
        read(path, classes=("text",))


def test_a_finding_named_twice_is_told_by_its_places_only(table):
    rows = [("a.png", "p", "Clear.", "1", ""), ("a.png", "p", "Clear.", "1", "Mass")]
    path = table(rows, ("image", "patient_id", "text", "mass", "kind"))
    with pytest.raises(CallError, match="`mass` and class column `kind`, row 2") as error:
        read(path, labels=("mass",), classes=("kind",))
    path = table([("a.png", "p", "Clear.", "Doe", "Doe")], ("image", "patient_id", "text", "kind", "sort"))
    with pytest.raises(CallError, match="class column `kind`, row 1 and class column `sort`, row 1") as error:
        read(path, classes=("kind", "sort"))
    assert "doe" not in str(error.value).lower()


def test_a_missing_patient_column_says_what_follows(table):
    path = table([("a.png", "s", "Clear.")], ("image", "study_id", "text"))
    with pytest.raises(
        CallError, match=r"two splits, and every figure would be too good.*--patient-is-study"
    ):
        read(path)
    (study,) = read(path, patient_is_study=True)
    assert study.patient_id == study.study_id == "s"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", "p", "Clear."), "no image named"),
        (("a.png", "p", "  ..."), "empty text"),
        (("a.png", "p", "nan"), "empty text"),
        (("a.png", "", "Clear."), "no patient_id"),
        (("b.png", "p", "Clear."), "no such image file"),
        (("data.csv", "p", "Clear."), "not a PNG, JPEG or DICOM image"),
        ((".", "p", "Clear."), "image file cannot be read"),
        (("a\0.png", "p", "Clear."), "image file cannot be read"),
        (("a.png", "p", "Clear", "left."), "4 cells where the header has 3"),
        (("a.png", "p"), "2 cells where the header has 3"),
    ],
)
def test_an_unusable_row_is_rejected_with_its_reason(table, row, reason):
    good, reject = read(table([("a.png", "p", "Clear."), row]))
    assert isinstance(good, Study)
    assert (reject.row, reject.reason) == (2, reason)


def test_an_image_over_the_limit_is_rejected_unless_it_is_raised(table, grey):
    path = table([("a.png", "p", "Clear.")])
    (reject,) = read(path, max_pixels=grey.size - 1)
    assert "--max-pixels" in reject.reason
    assert isinstance(read(path, max_pixels=grey.size)[0], Study)


def test_a_table_without_rows_has_no_usable_row(table, tmp_path):
    with pytest.raises(MedistillError, match="no usable row"):
        prepare(CsvSource(path=table([])), tmp_path / "corpus")


def test_a_byte_order_mark_and_blank_lines_are_skipped(table):
    path = table([("a.png", "p", "Clear.")])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n\n")
    assert len(read(path)) == 1


def test_images_are_shrunk_when_prepared_with_a_size(table, tmp_path, encoded):
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((24, 32), np.uint8)))
    prepare(
        CsvSource(path=table([("a.png", "p", "Clear.")]), size=16), tmp_path / "corpus", val=0.0, test=1.0
    )
    assert open_corpus(tmp_path / "corpus").split("test").image(0).shape == (12, 16)


def test_the_card_holds_the_options_but_no_path(table, tmp_path):
    prepare(CsvSource(path=table([("a.png", "p", "Clear.")])), tmp_path / "corpus")
    card = tmp_path / "corpus" / "card.json"
    made_with = open_corpus(tmp_path / "corpus").card["made_with"]
    assert made_with["text"] == ["text"]
    assert not {"path", "name"} & made_with.keys()
    assert str(tmp_path) not in card.read_text()


@pytest.mark.parametrize(
    ("cell", "view"),
    [
        *(
            ("PA", "PA"),
            ("pa", "PA"),
            ("AP", "AP"),
            ("ap supine", "AP"),
            ("AP Supine", "AP"),
            ("lateral", "lateral"),
        ),
        *(("LL", "lateral"), ("L", "lateral"), ("", None), ("Axial", None), ("PA and lateral", None)),
    ],
)
def test_views_are_normalized(cell, view):
    assert view_name(cell) == view


def test_ages_and_dates_that_cannot_be_understood_are_left_empty():
    assert [age_in_years(cell) for cell in ("61.5", "", "old", "-1", "nan", "999")] == [61.5, *[None] * 5]
    day = datetime.date(2020, 1, 31)
    assert [date_of(cell) for cell in ("20200131", "2020-01-31 10:00:00", "31.1.20", "")] == [
        day,
        day,
        None,
        None,
    ]


def test_the_pixels_of_a_csv_image_reach_the_corpus(table, tmp_path, grey):
    prepare(CsvSource(path=table([("a.png", "p", "Clear.")])), tmp_path / "corpus", val=0.0, test=1.0)
    np.testing.assert_array_equal(open_corpus(tmp_path / "corpus").split("test").image(0), grey)


@pytest.mark.parametrize(
    ("options", "flag"),
    [({"size": 0}, "--size"), ({"max_pixels": 0}, "--max-pixels"), ({"text": ()}, "--text")],
)
def test_options_that_cannot_work_are_call_errors(table, options, flag):
    with pytest.raises(CallError, match=flag):
        read(table([("a.png", "p", "Clear.")]), **options)


def test_rows_without_a_text_are_rejected_unless_they_are_to_be_evaluated_only(table):
    path = table([("a.png", "p1", "Clear."), ("a.png", "p2", " - ")])
    assert [type(item) for item in read(path)] == [Study, Reject]
    assert [item.text for item in read(path, without_reports=True)] == ["Clear.", NO_REPORT]


def test_a_table_of_labels_alone_can_be_evaluated_on(table):
    path = table([("a.png", "p1", "1")], ("image", "patient_id", "cough"))
    with pytest.raises(CallError, match="no column `text`"):
        read(path, labels=("cough",))
    (study,) = read(path, labels=("cough",), without_reports=True)
    assert (study.text, study.labels) == (NO_REPORT, {"cough": 1})
    with pytest.raises(CallError, match="no column `note`"):
        read(path, without_reports=True, text=("note",))


SPELLED = [
    ("10", "10.0"),
    ("10", "010"),
    ("p7", "P7"),
    ("P-7", "P_7"),
    ("7", '"7"'),
    ("123-45-67", "1234567"),
]


@pytest.mark.parametrize(("one", "other"), SPELLED)
def test_all_spellings_of_a_patient_share_the_split_of_the_first(table, tmp_path, one, other):
    others = [("a.png", f"q{number}", "Clear.") for number in range(40)]
    path = table([("a.png", one, "Clear."), *others, ("a.png", other, "Effusion.")])
    card = prepare(CsvSource(path=path), tmp_path / "corpus", val=0.3, test=0.3)
    rows = open_corpus(tmp_path / "corpus").table.to_pylist()
    split = {row["patient_id"]: row["split"] for row in rows}
    assert split == {patient: hashed_split(patient, val=0.3, test=0.3) for patient in split} | {
        other: hashed_split(one, val=0.3, test=0.3)
    }
    assert card["patient_ids"]["unified"] == 1


def test_spellings_that_the_source_puts_in_two_splits_are_counted(table, tmp_path):
    rows = [("a.png", "10", "Clear.", "train"), ("a.png", "10.0", "Effusion.", "test")]
    card = prepare(CsvSource(path=table(rows, ("image", "patient_id", "text", "split"))), tmp_path / "corpus")
    assert card["patient_ids"] == {"unified": 1, "by": {"decimals": 1}, "in_two_splits": 1}
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.split("train").patient_ids == corpus.split("test").patient_ids  # one person in every figure
    assert sorted(corpus.table["patient_id"].to_pylist()) == ["10", "10.0"]


@pytest.mark.parametrize("column", ["patient_id", "study_id"])
@pytest.mark.parametrize("cell", ["1.2E+11", "1.23457e+11", "1,2E+11", "2E+15", "1.2345678901234568e+17"])
def test_an_id_that_a_spreadsheet_has_rounded_is_an_error(table, column, cell):
    row = {"image": "a.png", "patient_id": "p", "study_id": "s", "text": "Clear."} | {column: cell}
    with pytest.raises(
        CallError, match=f"column `{column}` of data.csv, row 2: .* rounded, as 1.2E"
    ) as error:
        read(table([("a.png", "1E5", "1.5E+1", "Clear."), tuple(row.values())], tuple(row)))
    assert cell not in str(error.value).replace("1.2E+11", "") or cell == "1.2E+11"


def separated(path, mark, first=""):
    path.write_text(first + path.read_text().replace(",", mark))
    return path


@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep={}\n", '"sep={}"\r\n'])
def test_other_separators_are_recognized(table, mark, first):
    path = separated(table([("a.png", "p", "Clear."), ("a.png", "q", "Edema.")]), mark, first.format(mark))
    assert [(study.patient_id, study.text) for study in read(path)] == [("p", "Clear."), ("q", "Edema.")]


def test_commas_within_cells_of_a_table_of_semicolons_are_words_and_decimals(table):
    path = table([("a.png", "p", "Clear", "61", "1")], ("image", "patient_id", "text", "age", "mass"))
    path.write_text(
        path.read_text().replace(",", ";").replace("Clear", "Clear, dry").replace(";61;1", ";61,5;1,0")
    )
    (study,) = read(path, labels=("mass",))
    assert (study.text, study.age, study.labels) == ("Clear, dry", 61.5, {"mass": 1})


@pytest.mark.parametrize(
    ("mark", "name"), [(":", "`:`"), ("^", "`^`"), ("~", "`~`"), ("\x1f", "character 1F")]
)
def test_a_separator_that_is_not_read_is_named(table, mark, name):
    path = separated(table([("a.png", "p", "Clear.")]), mark)
    with pytest.raises(CallError, match=f"separated by .*{re.escape(name)}.*: save it with commas"):
        read(path)


def test_text_of_sixteen_bits_is_read_as_such(table):
    path = separated(table([("a.png", "p", "Erguß")]), "\t")
    path.write_text(path.read_text(), encoding="utf-16")
    assert read(path)[0].text == "Erguß"


@pytest.mark.parametrize(
    "cell", ["#N/A", "#VALUE!", "<NA>", "NaT", "#REF!", "#DIV/0!", "#NV", "#####", "None", "null"]
)
def test_what_programs_write_for_nothing_is_nothing(table, cell):
    rows = [
        ("a.png", "p", "Clear.", cell, cell),
        ("a.png", "q", cell, "1", "x"),
        ("a.png", cell, "Clear.", "1", "x"),
    ]
    path = table(rows, ("image", "patient_id", "text", "mass", "kind"))
    study, text, patient = read(path, labels=("mass",))
    assert study.labels == {}
    assert (text.reason, patient.reason) == ("empty text", "no patient_id")


def test_a_category_called_none_is_a_category(table):
    rows = [("a.png", "p", "Clear.", cell) for cell in ("none", "mild", "#N/A", "None")]
    path = table(rows, ("image", "patient_id", "text", "grade"))
    assert [study.labels for study in read(path, classes=("grade",))] == [
        {"mild": 0, "none": 1},
        {"mild": 1, "none": 0},
        {},
        {"mild": 0, "none": 1},
    ]


@pytest.mark.parametrize(
    ("cell", "state"),
    [("True", 1), ("FALSE", 0), ("yes", 1), ("No", 0), ("wahr", 1), ("faux", 0), ("1,0", 1), ("-1.0", -1)],
)
def test_truth_is_a_label_however_it_is_written(table, cell, state):
    path = table([("a.png", "p", "Clear.", cell)], ("image", "patient_id", "text", "mass"))
    assert read(path, labels=("mass",))[0].labels == {"mass": state}


@pytest.mark.parametrize("mark", ["|", ";", " / "])
def test_cells_of_several_categories_are_split_where_it_is_asked_for(table, mark):
    rows = [("a.png", "p", "Clear.", cell) for cell in (f"Effusion{mark}Edema", "edema", "", "Mass")]
    path = table(rows, ("image", "patient_id", "text", "found"))
    labels = [study.labels for study in read(path, classes=("found",), classes_separator=mark)]
    assert labels == [
        {"edema": 1, "effusion": 1, "mass": 0},
        {"edema": 1, "effusion": 0, "mass": 0},
        {},
        {"edema": 0, "effusion": 0, "mass": 1},
    ]


def test_many_cells_of_several_categories_are_refused_with_the_way_to_split_them(table):
    rows = [("a.png", "p", "Clear.", f"x{number % 12}|y{number}") for number in range(102)]
    with pytest.raises(CallError, match=r"not a category; .* by --classes-separator '\|'"):
        read(table(rows, ("image", "patient_id", "text", "kind")), classes=("kind",))


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        ("065Y", 65),
        ("010M", 10 / 12),
        ("003W", 21 / 365.25),
        ("020D", 20 / 365.25),
        ("065 y", 65),
        ("7 months", 7 / 12),
    ],
)
def test_ages_are_read_as_dicom_writes_them(cell, years):
    assert age_in_years(cell) == pytest.approx(years)


@pytest.mark.parametrize(
    ("cell", "view"),
    [
        *(("LL", "lateral"), ("RL", "lateral"), ("LLAT", "lateral"), ("left lateral", "lateral")),
        *(("POSTERO-ANTERIOR", "PA"), ("anteroposterior", "AP"), ("R-10214", "PA"), ("399348003", "AP")),
        *(("lateral decubitus", None), ("LLD", None)),
    ],
)
def test_views_are_read_as_dicom_writes_them(cell, view):
    assert view_name(cell) == view


@pytest.mark.parametrize("name", ["{}/b/a.png", "b/a.png", "b\\a.png", ".\\b\\a.png", "file://{}/b/a.png"])
def test_an_image_is_found_by_a_path_of_either_kind(table, tmp_path, name):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "b" / "a.png")
    assert isinstance(read(table([(name.format(tmp_path), "p", "Clear.")]))[0], Study)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("https://example.org/a.png", "named by a URL (https): fetch the files"),
        ("s3://bucket/a.png", "named by a URL (s3): fetch the files"),
        ("d:/data/a.png", "named by a path of Windows with a drive"),
        ("C:\\data\\a.png", "named by a path of Windows with a drive"),
        ("\\\\server\\share\\a.png", "named by a path of Windows with a server"),
    ],
)
def test_a_name_that_is_no_path_here_is_called_what_it_is(table, name, reason):
    assert reason in read(table([(name, "p", "Clear.")]))[0].reason
