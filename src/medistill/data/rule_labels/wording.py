"""An English report as the rules read it: written out, in small letters, without marks."""

import re
from typing import Any

from medistill.data.report.forms import in_one_width
from medistill.data.report.words import read_words

_SHORT: Any = read_words(__package__, "abbreviations.yaml")
_ABBREVIATION = re.compile(
    r"(?<![\w/\\])("
    + "|".join(
        re.escape(short) + ("" if short[-1] == "/" else r"(?![\w/\\])")
        for short in sorted(_SHORT, key=len, reverse=True)
    )
    + ")",
    re.IGNORECASE,
)
_PERHAPS = re.compile(r"\+ ?/ ?- ?(?=\w)")
_NOT = re.compile(r"(?<=\w)n['\u2019\u2018`]t\b", re.IGNORECASE)
_ASKED_BEFORE = re.compile(r"(?:(?<=\s)|(?<=^)|(?<=[(,;:/]))\?{1,3} ?(?=\w)")
_ASKED_BETWEEN = re.compile(r"(?<=\w) \?{1,3} (?=[^\Wa-z])")
_ASKED_BEHIND = re.compile(r"\s?[(\[]\?{1,3}[)\]]|(?<=\w)\?{1,3}(?= [a-z])|(?<=\w)\?(?=[,;])")
_DASH = re.compile(r"\s[-\u2013\u2014]{1,3}\s|\u2014|\s-(?=\w)")


def written_out(text: str) -> str:
    """With signs of full width as those of ASCII; abbreviations as what they stand for: `w/o`, `isn't`."""
    text = in_one_width(text).replace("can't", "can not").replace("cannot", "can not")
    text = _NOT.sub(" not", text)
    text = _ABBREVIATION.sub(lambda short: _SHORT[short[1].lower()], text)
    return _PERHAPS.sub("or possibly ", text)


def asked_out(text: str) -> str:
    """A question mark before or behind a word says that it is in doubt; at the end of a sentence it stays."""
    text = _ASKED_BETWEEN.sub(" if any questionable ", text)
    return _ASKED_BEHIND.sub(" if any", _ASKED_BEFORE.sub("questionable ", text))


def small(sentence: str) -> str:
    """Small letters; a dash becomes a comma, hyphens and brackets spaces, a slash `or`."""
    text = _DASH.sub(", ", sentence.lower()).replace("/", " or ").replace("'", "")
    text = " ".join(re.sub(r"[^\w\s,;:]", " ", text).split())
    return re.sub(r" (?=[,:;])", "", text).lstrip(" ,;:")
