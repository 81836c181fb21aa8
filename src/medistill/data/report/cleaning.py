"""A report's text without what de-identification, lists and dictation left in it."""

import re
import unicodedata

from medistill.data.report.forms import is_answered, is_field, tidied
from medistill.data.report.sentences import word_set

_MARK = re.compile(r"_{2,}|X{3,}")
LINE_BREAK = re.compile(r"\r\n?|[\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_BULLET = re.compile(r"[ \t]*[-*\u2022\u2023\u25aa\u25cf\u2013\u2014][ \t]+")
# What follows must be blank: `1.5 cm` is no item of a list.
_NUMBER = re.compile(r"[ \t]*\(?(\d{1,2})(?:[.)]|\.\))[ \t]+(?=\S)")
_COUNT = re.compile(r"(?:^\s*|(?<=[.!?:;\u3002])\s+)\(?(\d{1,2})(?:[.)]|\.\))\s+(?=\S)")
_WORD = re.compile(r"([\w'-]+)")
_EMPTY_BRACKETS = re.compile(r"\([\s,;.:/-]*\)|\[[\s,;.:/-]*\]")
_BEFORE_BRACKET = re.compile(r"[,;:] ?(?=[)\]])")
# Punctuation that a mark has left alone between spaces, but not the point of `.5 cm`.
_ORPHANS = re.compile(r"\s+(?=[,.;:!?](?:[\s,.;:!?)]|$))")
_STOPS = re.compile(r"[,;:.!?]{2,}")
ENDS = (".", "!", "?", ":", ";", ",", "\u3002", "\uff01", "\uff1f", "\uff1a", "\uff1b", "\uff0c", "\u3001")

_BEGINNING = re.compile(r"[^\W\d_a-z][^\W\d_A-Z]|(?:A|\d+) \w")
_GOES_ON = word_set(
    "the a an of and or with without in to is are at by for from no not than as on this that has have be "
    "into nor which was were but through right left upper lower mild small large new"
)
"""Words that no sentence ends in."""
_WRAPPED = 60
"""Characters to which a text is wrapped at least; shorter lines were broken by hand, and mean it."""


def clean(text: str) -> str:
    """The text as one line: marks of de-identification, list numbers and dictated line breaks are gone.

    A mark (`___`, `XXXX`) takes the rest of its word with it (`x-XXXX`), and the punctuation it leaves alone.
    Numbers go where they count from 1 at the starts of lines or after the ends of sentences. What was an
    item, a paragraph or a line of a form or table gets a period if it had none, so that it stays a sentence
    of its own, and so does a line that ends early before one with a capital. Clean text stays as it is.
    """
    return without_marks(_unnumbered(_joined(_items(_lines(text)))))


def has_marks(text: str) -> bool:
    return _MARK.search(text) is not None


def _lines(text: str) -> list[str]:
    return [tidied(line.strip()) for line in LINE_BREAK.sub("\n", text).split("\n")]


def _items(lines: list[str]) -> list[tuple[str, bool]]:
    """Lines without bullets, and whether each begins an item of a list or a paragraph."""
    items, last, fresh = list[tuple[str, bool]](), 0, True
    width = max(map(len, lines), default=0)
    for line in lines:
        item, number = False, _NUMBER.match(line)
        bullet = None if number else _BULLET.match(line)
        if number and (int(number[1]) == 1 or 0 < last < int(number[1]) <= last + 2):
            last, item = int(number[1]), True
        elif bullet:
            line, item = line[bullet.end() :], True
        if line:
            before = items[-1][0] if items else ""
            item = item or is_field(line) or is_answered(before) or _is_broken(before, line, width)
            items.append((line, item or (fresh and not line[0].islower())))
        fresh = not line
    return items


def _is_broken(before: str, line: str, width: int) -> bool:
    """Whether the break between two lines was meant: the next word would have had place, and begins anew."""
    words = before.split()
    if not words or before.isupper() or not _BEGINNING.match(line) or words[-1].lower() in _GOES_ON:
        return False
    had_place = len(before) + 1 + len(line.split()[0]) <= width
    return (had_place or width < _WRAPPED) and before[-1].isalnum()


def _joined(lines: list[tuple[str, bool]]) -> str:
    """One line; no space between characters of scripts that have none, a period where one is due."""
    parts = list[str]()
    for line, begins in lines:
        if parts:
            parts.append(_between(parts[-1], line, begins))
        parts.append(line)
    return "".join(parts)


def _between(before: str, line: str, begins: bool) -> str:
    if begins and not before.endswith(ENDS):
        return "\u3002" if _is_wide(before[-1]) else ". "
    is_word = before[-1] == "-" and before[-2:-1].isalpha() and line[0].isalpha()
    return "" if is_word or (_is_wide(before[-1]) and _is_wide(line[0])) else " "


def _unnumbered(text: str) -> str:
    """The text without numbers that count items from 1, at its start and at the ends of sentences."""
    kept, place, last = list[str](), 0, 0
    for match in _COUNT.finditer(text):
        number = int(match[1])
        if number == 1 or 0 < last < number <= last + 2:
            kept.append(text[place : match.start()])
            place, last = match.end(), number
    return " ".join([*kept, text[place:]]).strip()


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" and not "\uac00" <= character <= "\ud7a3"


def without_marks(text: str) -> str:
    if not has_marks(text):
        return " ".join(text.split())
    text = " ".join(filter(None, map(_unmarked, text.split())))
    text = " ".join(_EMPTY_BRACKETS.sub(" ", text).split())
    text = _STOPS.sub(_strongest, _BEFORE_BRACKET.sub("", _ORPHANS.sub("", text)))
    return text.lstrip(" ,;:.!?)]/-")


def _unmarked(word: str) -> str:
    """The word without what a mark stands for, its punctuation kept."""
    if not has_marks(word):
        return word
    kept = [part for part in _WORD.split(word) if not has_marks(part)]
    return "".join(kept).strip("/")


def _strongest(stops: re.Match[str]) -> str:
    """One mark of punctuation for several that were left side by side."""
    run = stops[0]
    if set(run) == {"."} and len(run) == 3:
        return run
    return next(mark for mark in "?!.:;," if mark in run)
