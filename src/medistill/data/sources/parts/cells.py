"""What a cell of a table says: a view, an age, a sentence."""

import datetime
import re
from collections.abc import Sequence

_MISSING = {
    "",
    "nan",
    "none",
    "null",
    "na",
    "n/a",
}  # what spreadsheets and data frames write for an empty cell
_VIEWS = {"pa": "PA", "ap": "AP", "lateral": "lateral", "lat": "lateral", "ll": "lateral", "l": "lateral"}
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}


def is_missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def has_words(text: str) -> bool:
    return not is_missing(text) and re.search(r"[^\W_]", text) is not None


def joined(cells: Sequence[str]) -> str:
    """The cells as sentences; empty ones and those of punctuation alone left out."""
    sentences = [cell.strip() for cell in cells if has_words(cell)]
    ended = [sentence if sentence[-1] in ".!?:;" else f"{sentence}." for sentence in sentences[:-1]]
    return " ".join([*ended, *sentences[-1:]])


def view_name(cell: str) -> str | None:
    """`PA`, `AP` or `lateral` where one of its words says so, else None."""
    views = {_VIEWS[word] for word in re.findall(r"[a-z]+", cell.lower()) if word in _VIEWS}
    return views.pop() if len(views) == 1 else None


def sex_name(cell: str) -> str | None:
    return _SEXES.get(cell.strip().lower())


def is_sex_or_view(cell: str) -> bool:
    return cell.strip().lower() in {*_SEXES, *_VIEWS}


def label_state(cell: str) -> int | None:
    """1, 0 or -1, None of an empty cell; ValueError for anything else, without a word of the cell."""
    if is_missing(cell):
        return None
    try:
        number = float(cell)
    except ValueError:
        number = 2.0
    if number not in (1, 0, -1):
        raise ValueError("not 1, 0, -1 or empty")
    return int(number)


def age_in_years(cell: str) -> float | None:
    try:
        age = float(cell)
    except ValueError:
        return None
    return age if 0 <= age <= 130 else None


def date_of(cell: str) -> datetime.date | None:
    """From `2020-01-31` or `20200131`, a time of day ignored."""
    try:
        return datetime.date.fromisoformat(re.split(r"[T ]", cell.strip())[0])
    except ValueError:
        return None
