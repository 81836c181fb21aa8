"""Words of strangers do nothing where they are shown."""

import csv
import io

import pytest

from medistill.system.shown import csv_lines, in_line, is_unicode, on_terminal, written

NAME = b"M\xfcller".decode("utf-8", "surrogateescape")


def test_what_is_no_unicode_is_written_as_an_escape():
    assert written(NAME) == r"M\xfcller"
    assert written("a\ud83db") == r"a\ud83db"
    assert written("a\ud83db\udcff") == r"a\ud83db\udcff"
    assert written("Müller 胸") == "Müller 胸"
    assert [is_unicode(text) for text in ("ü", NAME, "\ud83d")] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb", r"a\x0db"),
        ("\x9b31mred", r"\x9b31mred"),
        ("\x7f\x00\x08", r"\x7f\x00\x08"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("\u2066a\u2069\u2028", r"\u2066a\u2069\u2028"),
        ("a\tb\nc", "a\tb\nc"),
        (NAME, r"M\xfcller"),
        ("Müller 胸 ±1 µm", "Müller 胸 ±1 µm"),
    ],
)
def test_a_terminal_is_told_nothing(text, shown):
    assert on_terminal(text) == shown


def test_a_line_is_one_line():
    assert in_line("a\n b\tc\r\n\x1b[1m") == r"a b c \x1b[1m"


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "=cmd|' /C calc'!A0",
        "+49 30 1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        " =1",
        "\n=1",
        '=HYPERLINK("http://a")',
        "--1",
        "-",
        "+",
        "-inf",
        "\uff1d1",
        "-1 OR 1",
        "=",
    ],
)
def test_what_a_spreadsheet_takes_for_a_formula_is_text(cell):
    ((read,),) = csv.reader(io.StringIO(csv_lines([[cell]]), newline=""))
    assert read == "'" + cell


@pytest.mark.parametrize(
    "cell",
    [
        "-1",
        "+1",
        "-0.5",
        "-.5",
        "-1e-05",
        "1",
        "0.123456",
        "",
        "a=b",
        "s-1",
        "row 1",
        "'=1",
        "x,y",
        'a"b',
        "2020-01-31",
    ],
)
def test_numbers_and_words_are_not_touched(cell):
    ((read,),) = csv.reader(io.StringIO(csv_lines([[cell]]), newline=""))
    assert read == cell


def test_what_ends_a_line_for_some_readers_ends_none(tmp_path):
    assert csv_lines([["\r=1", "a\0b"]]) == "\\x0d=1,a\\x00b\n"


def test_lines_are_those_of_a_plain_writer():
    rows = [["a", "b,c", 'd"e', "f\ng"], ["1", "-1", "", "x"]]
    plain = io.StringIO(newline="")
    csv.writer(plain, lineterminator="\n").writerows(rows)
    assert csv_lines(rows) == plain.getvalue()
