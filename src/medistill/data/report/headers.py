"""The headers that reports are divided by, and where a line has one."""

import re
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from medistill.data.report.cleaning import without_marks
from medistill.data.report.sentences import word_set

FINDINGS, IMPRESSION, INDICATION, COMPARISON = "findings", "impression", "indication", "comparison"
VIEWS, OTHER, WET, ADDENDUM, BANNER = "views", "other", "wet", "addendum", "banner"
_WORDS: Any = yaml.safe_load(files(__package__ or "").joinpath("headers.yaml").read_text("utf-8"))
_SECTION_OF: dict[str, str] = {name: kind for kind, names in _WORDS["names"].items() for name in names}
# The longest first, or `reason` would match where `reason for exam` stands.
_LONGEST_FIRST = sorted(_SECTION_OF, key=len, reverse=True)
_NAME = "|".join(re.escape(name).replace(r"\ ", r"[ \t]{1,3}") for name in _LONGEST_FIRST)
_NUMBERED = r"(?:\(s\)|[ \t]{0,2}\#?\d(?=[ \t]{0,8}[:\uff1a]))?"
_COLON = r"[ \t]{0,8}[\])}*_]{0,3}[ \t]{0,8}[:\uff1a][*_]{0,3}"
# Every repetition is bounded: a line of a million blanks or dashes must not take a second.
_START = re.compile(
    rf"[\s*#=\[<({{>_-]{{0,40}}(?P<name>{_NAME}){_NUMBERED}(?![\w'])(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
_INSIDE = re.compile(rf"(?<![\w/&'-])(?P<name>{_NAME}){_NUMBERED}{_COLON}", re.IGNORECASE)
_AFTER_NAME = re.compile(_COLON)
_DECORATION = re.compile(r"[\s*#=\])}>_-]*")
_DASH = re.compile(r"[ \t]{1,8}[-\u2013\u2014]{1,3}[ \t]{1,8}(?=\S)")
_GOES_ON = word_set(_WORDS["goes_on"])
_VIEW_WORDS = word_set(_WORDS["views"])


class Header(NamedTuple):
    """A header found in a line: from `start` to `end` of it, text may follow."""

    kind: str
    start: int
    end: int


def headers(line: str, *, fresh: bool) -> list[Header]:
    """The headers in a line, in order; the first may do without a colon, those behind it may not.

    fresh   whether the line before is empty or ends as a sentence does: else this one may go on with it
    """
    first = _first(line, fresh)
    place = first.end if first else 0
    headers = [first] if first else []
    for match in _INSIDE.finditer(line, place):
        if _stands_out(line, place, match):
            headers.append(Header(_kind(match["name"]), match.start(), match.end()))
    return headers


def _first(line: str, fresh: bool) -> Header | None:
    match = _START.match(line)
    if match is None:
        return _views(line)
    name, start, rest = match["name"], match.start("rest"), match["rest"]
    kind = _kind(name)
    if colon := _AFTER_NAME.match(rest):
        return Header(kind, 0, start + colon.end())
    bare = _DECORATION.match(rest)
    if bare and bare.end() == len(rest):
        # A sentence may be dictated over several lines: only a name that stands out ends a section.
        return Header(kind, 0, len(line)) if name[0].isupper() else None
    if kind in (OTHER, BANNER):
        return None
    dash = _DASH.match(rest)
    if dash and name[0].isupper():
        return Header(kind, 0, start + dash.end())
    return Header(kind, 0, start) if _is_run_in(kind, name, rest, fresh) else None


def _is_run_in(kind: str, name: str, rest: str, fresh: bool) -> bool:
    """Whether the text begins behind the name with nothing between but a space: `IMPRESSION No change`."""
    if not rest[0].isspace() or _goes_on(rest):
        return False
    if name.isupper():
        words = without_marks(rest)
        return fresh or words.upper() != words or words.lower() == words
    # `History CHF` and `Comparison CT` are also how sentences begin.
    return kind in (FINDINGS, IMPRESSION) and fresh and name[0].isupper() and rest.lstrip()[0].isupper()


def _goes_on(rest: str) -> bool:
    """Whether the next word makes a sentence of the name; a capital begins the sentence instead."""
    word = re.match(r"\W{0,10}(\w{1,16})", rest)
    return word is not None and word[1].lower() in _GOES_ON and not word[1].istitle()


def _views(line: str) -> Header | None:
    """`PA AND LATERAL CHEST:`, behind which some reports begin to describe without a header of findings."""
    name, colon, _ = line[:80].partition(":")
    words = re.split(r"[\s,()/.]+", name.strip().lower())
    shows = {"chest", "cxr"} & set(words) and set(words) - {""} <= _VIEW_WORDS
    return Header(VIEWS, 0, len(name) + 1) if colon and name.isupper() and shows else None


def _stands_out(line: str, place: int, match: re.Match[str]) -> bool:
    """Within a line a header is in capitals, or begins a sentence with one."""
    name = match["name"]
    if name.isupper():
        return True
    before = line[max(place, match.start() - 4) : match.start()].rstrip(" \t*_[")
    return name[0].isupper() and (not before or before[-1] in ".!?;:)|\u3002")


def _kind(name: str) -> str:
    return _SECTION_OF[" ".join(name.lower().split())]
