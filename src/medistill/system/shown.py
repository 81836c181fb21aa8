"""Words from files, made harmless for what shows them: terminals, spreadsheets, files of UTF-8."""

import csv
import io
import logging
import re
from collections.abc import Iterable, Sequence

from medistill.errors import CallError

# Controls of ASCII and of Latin-1 (a terminal takes C1 for escapes, too), what turns the direction of writing
# (Unicode TR 36, 2.1: a name can be shown as another), and ends of lines that are none of ours.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# https://owasp.org/www-community/attacks/CSV_Injection; the wide forms are taken for narrow ones in places.
_FORMULA = re.compile("[=+\\-@\t\n\uff1d\uff0b\uff0d\uff20]")
_TEXT = "'"
"""Before a cell, it tells spreadsheets that the cell is text; they do not show it."""


def written(text: str) -> str:
    r"""The text with what is no Unicode as an escape: the byte of a Latin-1 file name as `\xfc`.

    Half a surrogate, which JSON can hold, becomes `\ud83d`.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_unicode(text: str) -> bool:
    """Whether it can be written at all: half a surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_unicode(text: str, what: str) -> None:
    """CallError for half a surrogate, as JSON can hold it and as a byte of another encoding is given."""
    if not is_unicode(text):
        raise CallError(
            f"{what} is no Unicode: half a surrogate in it, or a byte that is not UTF-8; write it as UTF-8"
        )


def on_terminal(text: str) -> str:
    r"""The text without what a terminal obeys: an escape is shown as `\x1b`. Tabs and ends of lines stay."""
    return _CONTROL.sub(_escape, written(text))


def in_line(text: str) -> str:
    """The same on one line, every blank between words one space."""
    return on_terminal(" ".join(written(text).split()))


class HarmlessFormatter(logging.Formatter):
    """Of the lines of a log on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return on_terminal(super().format(record))


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """Rows of a CSV file; what a spreadsheet would take for a formula begins with an apostrophe.

    Numbers are never touched: -1 is a label.
    """
    file = io.StringIO(newline="")
    table = csv.writer(file, lineterminator="\n")
    table.writerows([_cell(cell) for cell in row] for row in rows)
    return file.getvalue()


def _cell(cell: str) -> str:
    # Neither ends a line of ours, but either does for some reader, and csv quotes them from Python 3.13 on.
    cell = written(cell).replace("\0", r"\x00").replace("\r", r"\x0d")
    starts = _FORMULA.match(cell) or _FORMULA.match(cell.lstrip())
    return _TEXT + cell if starts and not _NUMBER.fullmatch(cell) else cell


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
