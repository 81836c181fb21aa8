"""What a cell of a table says: a view, an age, a sentence."""

import datetime
import re
from collections.abc import Sequence

from medistill.data.dicom.header import VIEW_CODES

_MISSING = {
    *("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "#n/a", "#n/a n/a", "#na"),  # of data frames too
    *("#value!", "#ref!", "#name?", "#div/0!", "#num!", "#null!", "#spill!", "#calc!"),  # of spreadsheets
    *("#nv", "#wert!", "#bezug!", "#zahl!", "#valeur!", "#nombre!", "#valor!", "#n/d"),  # in other languages
}
"""What spreadsheets and data frames write for an empty cell, or one they could not fill."""
_NARROW = re.compile("#{2,}")  # a column too narrow to show the value, saved as it is shown
_VIEWS = {
    "pa": "PA",
    "ap": "AP",
    "lateral": "lateral",
    "lat": "lateral",
    **dict.fromkeys(("ll", "rl", "l", "llat", "rlat"), "lateral"),
}
_LONG_VIEWS = (
    (re.compile(r"postero[\W_]*anterior"), "pa"),
    (re.compile(r"antero[\W_]*posterior"), "ap"),
    (re.compile(r"decubitus|decub\b"), "decubitus pa ap"),  # the patient lies on a side, the view is frontal
)
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
_STATES = {
    **dict.fromkeys(("true", "t", "yes", "y", "wahr", "vrai", "verdadero", "vero"), 1),
    **dict.fromkeys(("false", "f", "no", "n", "falsch", "faux", "falso"), 0),
}
"""Truth as programs and spreadsheets of several languages write it."""
_AGE = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*([a-z]*)\.?(?:\s+old)?", re.IGNORECASE)
_UNITS = {
    **dict.fromkeys(("", "y", "yr", "yrs", "yo", "year", "years"), 1.0),
    **dict.fromkeys(("m", "mo", "mos", "month", "months"), 1 / 12),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 7 / 365.25),
    **dict.fromkeys(("d", "day", "days"), 1 / 365.25),
}
"""Years in a unit of age, as DICOM writes them (PS3.5 table 6.2-1) and as people do."""
_OLDEST = 130
_DATE = re.compile(r"(\d{4})([-./]?)(\d\d?)\2(\d\d?)(?:[T ].*|\.0+|\d{6}(\.\d+)?)?")
_ROUNDED = re.compile(r"[+-]?\d(?:[.,](\d+))?E\+?(\d+)", re.IGNORECASE)


def is_missing(cell: str) -> bool:
    cell = cell.strip()
    return cell.lower() in _MISSING or _NARROW.fullmatch(cell) is not None


def is_no_category(cell: str) -> bool:
    """Missing, as a category: one that is called "none" is one."""
    return cell.strip().lower() != "none" and is_missing(cell)


def is_rounded(cell: str) -> bool:
    """Whether a program wrote the number of an id as 1.2E+11, its last digits lost."""
    match = _ROUNDED.fullmatch(cell.strip())
    if match is None or not (match[1] or "+" in cell):  # 1E5 may be an id
        return False
    return len(match[1] or "") < int(match[2])


def has_words(text: str) -> bool:
    return not is_missing(text) and re.search(r"[^\W_]", text) is not None


def joined(cells: Sequence[str]) -> str:
    """The cells as sentences; empty ones and those of punctuation alone left out."""
    sentences = [cell.strip() for cell in cells if has_words(cell)]
    ended = [sentence if sentence[-1] in ".!?:;" else f"{sentence}." for sentence in sentences[:-1]]
    return " ".join([*ended, *sentences[-1:]])


def view_name(cell: str) -> str | None:
    """`PA`, `AP` or `lateral` where one of its words says so, else None."""
    cell = cell.strip().casefold()
    if cell in VIEW_CODES:
        return VIEW_CODES[cell]
    for pattern, short in _LONG_VIEWS:
        cell = pattern.sub(short, cell)
    views = {_VIEWS[word] for word in re.findall(r"[a-z]+", cell) if word in _VIEWS}
    return views.pop() if len(views) == 1 else None


def sex_name(cell: str) -> str | None:
    return _SEXES.get(cell.strip().lower())


def is_sex_or_view(cell: str) -> bool:
    return cell.strip().lower() in {*_SEXES, *_VIEWS}


def label_state(cell: str) -> int | None:
    """1, 0 or -1, also as True or False; None of an empty cell; ValueError, quoting nothing, of others."""
    if is_missing(cell):
        return None
    plain = cell.strip().lower()
    try:
        number = float(_STATES.get(plain, plain.replace(",", ".")))
    except ValueError:
        number = 2.0
    if number not in (1, 0, -1):
        raise ValueError("not 1, 0, -1 or empty")
    return int(number)


def age_in_years(cell: str) -> float | None:
    """From `61`, `61.5`, `065Y`, `010M`, `3 weeks`; None of anything else, and of more than 130 years."""
    match = _AGE.fullmatch(cell.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        return None
    age = float(match[1].replace(",", ".")) * unit
    return age if age <= _OLDEST else None


def date_of(cell: str) -> datetime.date | None:
    """From `2020-01-31` or `20200131`, a time of day ignored."""
    match = _DATE.fullmatch(cell.strip())
    if match and not match[2] and len(match[3] + match[4]) < 4:
        return None
    try:
        return datetime.date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None
