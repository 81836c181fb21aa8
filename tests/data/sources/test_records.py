"""A stray quotation mark or an endless cell costs its row, and no other."""

import csv
import io
import random

import pytest

from medistill.data.prepare import studies
from medistill.data.sources import CsvSource
from medistill.data.sources.parts.records import LONGEST, TOO_LONG, UNPROVEN, Record, records
from medistill.data.study import Reject

HEADER = ["image", "patient_id", "text"]
WIDER = [*HEADER, "impression"]
ROWS = [[f"{name}.png", f"p{name}", f"Effusion {name}."] for name in "abcdef"]


def read(text: str, separator: str = ",") -> list[Record]:
    return list(records(io.StringIO(text, newline=""), separator))[1:]


def written(rows, separator: str = ",") -> str:
    return "".join(separator.join(row) + "\n" for row in [HEADER, *rows])


def with_mark(row: int, column: int, *, end: bool = False) -> list[list[str]]:
    """The rows, with one quotation mark before or behind a cell."""
    rows = [list(cells) for cells in ROWS]
    rows[row][column] = f'{rows[row][column]}"' if end else f'"{rows[row][column]}'
    return rows


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("row", [0, 2, 5])
def test_a_stray_mark_costs_its_row_and_no_other(row, column, separator):
    found = read(written(with_mark(row, column), separator), separator)
    assert [record.fault for record in found].count(UNPROVEN) == 1
    assert found[row].fault == UNPROVEN
    assert [record.cells for record in found if not record.fault] == ROWS[:row] + ROWS[row + 1 :]


@pytest.mark.parametrize("column", [1, 2])
def test_two_stray_marks_hold_no_rows_together(column):
    rows = with_mark(0, column)
    rows[3][column] = f'"{rows[3][column]}'
    found = read(written(rows))
    assert [place for place, record in enumerate(found) if record.fault] == [0, 3]
    assert [record.cells for record in found if not record.fault] == [ROWS[1], ROWS[2], *ROWS[4:]]


def test_a_mark_that_opens_and_one_that_closes_rows_below_are_not_one_cell():
    rows = with_mark(0, 2)
    rows[3][2] += '"'
    found = read(written(rows))
    assert [place for place, record in enumerate(found) if record.fault] == [0]
    assert len(found) == len(ROWS)
    assert not any("p" in record.cells[2] for record in found[1:])


@pytest.mark.parametrize(
    "text",
    [
        'accession,text\n500,"Clear.\n501,Effusion."\n502,Edema.\n',
        'text,study\n"Clear.,1.2.840.1\nEffusion.",1.2.840.2\nEdema.,1.2.840.3\n',
        'date,text\n2020-01-31,"Clear.\n2020-02-01,Effusion."\n2020-02-02,Edema.\n',
        'name,text\nSmith,"Clear.\nJones,Effusion."\nMiller,Edema.\n',
    ],
    ids=["numbers", "text first", "dates", "names"],
)
def test_rows_are_told_by_what_the_other_columns_look_like(text):
    found = read(text)
    assert [bool(record.fault) for record in found] == [True, False, False]


def reports(count: int) -> list[list[str]]:
    """Well quoted reports of several lines, with commas, marks, blank lines, lists and figures in them."""
    draw = random.Random(0)
    parts = (
        'Heart, mediastinum, and pleura are "normal".',
        "",
        "1. No effusion, no pneumothorax.\n2. Stable, as before.",
        "Levels L1, L2, L3; 5 x 4, 3 mm",
        "Comparison: 2019-04-01, 2020-01-31.",
        "FINDINGS:\r\n\tClear\tlungs",
        '"Quoted" whole',
        "a, b",
        "seen in img_1.png, not in img_2.png",
    )
    return [
        [f"img_{number}.png", f"P{number:05d}", *("\n".join(draw.choices(parts, k=5)) for _ in range(2))]
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 2), (2, 0), (2, 3, 1, 0), (1, 3, 0, 2)], ids=str
)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_thousand_well_quoted_reports_of_several_lines_are_read_as_they_are(order, quoting):
    rows = [[row[place] for place in order] for row in reports(1000)]
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting).writerows([[WIDER[place] for place in order], *rows])
    found = read(file.getvalue())
    assert [record.cells for record in found] == rows
    assert not any(record.fault for record in found)


def test_a_broken_report_of_several_lines_is_one_row():
    broken = ["x.png", "px", '"He said "clear" today,\nand so on, on and on.\n\nEnd."']
    found = read(written([ROWS[0], broken, *ROWS[1:]]))
    assert [record.fault for record in found] == [None, UNPROVEN, *[None] * 5]


def test_marks_inside_a_cell_without_marks_around_it_are_words():
    assert read(written([["a.png", "p", 'a 5" film']])) == [Record(["a.png", "p", 'a 5" film'])]


def test_a_well_quoted_row_of_several_lines_and_too_many_cells_is_one_row():
    assert read(written([["a.png", "p", '"Clear\nlungs"', "x"], *ROWS[:1]])) == [
        Record(["a.png", "p", "Clear\nlungs", "x"]),
        Record(ROWS[0]),
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "x" * (LONGEST + 1),
        '"' + "x" * (LONGEST + 1) + '"',
        '"' + ("x" * 99 + "\n") * 1400 + '"',
        "x" * 3_000_000,
    ],
    ids=["plain", "quoted", "of lines", "far longer"],
)
def test_an_endless_cell_costs_its_row(cell):
    found = read(written([ROWS[0], ["x.png", "px", cell], *ROWS[1:]]))
    assert [record.fault for record in found] == [None, TOO_LONG, *[None] * 5]
    assert [record.cells for record in found if not record.fault] == ROWS


def test_a_cell_of_the_longest_length_is_read():
    assert read(written([["a.png", "p", "x" * LONGEST]]))[0].fault is None


def test_a_mark_that_never_closes_in_a_large_file_costs_its_row():
    many = [[f"{number}.png", f"p{number}", "Clear, no effusion" * 400] for number in range(3_000)]
    lines = "".join(f"{image},{patient},{text.replace(',', '')}\n" for image, patient, text in many)
    found = read(",".join(HEADER) + '\nx.png,px,"Clear.\n' + lines)
    assert [record.fault for record in found].count(UNPROVEN) == 1
    assert len(found) == 3_001


def test_the_rows_below_a_stray_mark_are_prepared_and_it_is_rejected_by_number(tmp_path, grey, encoded):
    for name in "abcdef":
        (tmp_path / f"{name}.png").write_bytes(encoded(grey))
    (tmp_path / "data.csv").write_text(written(with_mark(1, 2)))
    items = list(studies(CsvSource(path=tmp_path / "data.csv").open()))
    (reject,) = [item for item in items if isinstance(item, Reject)]
    assert (reject.row, reject.reason, len(items)) == (2, UNPROVEN, 6)
