"""The headers that reports are divided by, and where a line has one."""

import re
import unicodedata
from typing import Any, NamedTuple

from medistill.data.report.cleaning import without_marks
from medistill.data.report.letters import plain
from medistill.data.report.sentences import word_set
from medistill.data.report.words import read_words

FINDINGS, IMPRESSION, INDICATION, COMPARISON = "findings", "impression", "indication", "comparison"
VIEWS, OTHER, LINE, WET, ADDENDUM, BANNER = "views", "other", "line", "wet", "addendum", "banner"


_WORDS: Any = read_words(__package__, "headers.yaml")
_SECTION_OF: dict[str, str] = {
    plain(name): kind
    for kinds in reversed(_WORDS["names"].values())  # of a word that two languages share, the first counts
    for kind, names in kinds.items()
    for name in names
}
_WITH_COLON = frozenset(map(plain, _WORDS["with_colon"]))
# The longest first, or `reason` would match where `reason for exam` stands.
_LONGEST_FIRST = sorted(_SECTION_OF, key=len, reverse=True)
_NAME = "|".join(re.escape(name).replace(r"\ ", r"[ \t]{1,3}") for name in _LONGEST_FIRST)
_NUMBERED = r"(?:\(s\)|[ \t]{0,2}\#?\d(?=[ \t]{0,8}:))?"
_COLON = r"[ \t]{0,8}[\])}*_\u3011\u300b\u3009>]{0,3}[ \t]{0,8}:[*_]{0,3}"
_COUNT = r"(?:\(?\d{1,2}[.)\u3001][ \t]{0,4}|[\u4e00\u4e8c\u4e09\u56db\u4e94][\u3001.][ \t]{0,4})?"
# Every repetition is bounded: a line of a million blanks or dashes must not take a second.
_OPENING = r"[\s*#=\[<({>_\u3010\u300a\u3008\u25a0\u25cf\u25c6\u25bc\u25c7\u25a1\u25cb\u2022-]{0,40}"
# A name in a script without spaces may be followed by a letter at once only where a bracket closed it.
_START = re.compile(
    rf"{_OPENING}{_COUNT}{_OPENING}(?P<name>{_NAME}){_NUMBERED}(?![\w'])(?P<rest>.*)", re.DOTALL
)
_INSIDE = re.compile(rf"(?<![\w/&'-])(?P<name>{_NAME}){_NUMBERED}{_COLON}")
_AFTER_NAME = re.compile(_COLON)
_BRACKET = re.compile(r"[ \t]{0,2}[\])}\u3011\u300b\u3009>]")
_DECORATION = re.compile(r"[\s*#=\])}>_\u3011\u300b\u3009-]*")
_DASH = re.compile(r"[ \t]{1,8}[-\u2013\u2014]{1,3}[ \t]{1,8}(?=\S)")
_UNKNOWN = re.compile(
    r"(?:^[\s*#=\[_-]{0,20}|[.;!?\u3002]\s{0,4}|\s{2,4})(?P<name>[^\W\d_][\w' /&().-]{1,40}?)[ \t]{0,4}"
    r"[\]*_]{0,3}[ \t]{0,4}:(?![\d/])"
)
_PART = re.compile(rf"{_OPENING}(?:{'|'.join(map(re.escape, _WORDS['parts']))}){_COLON}")
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
    small = plain(line)
    first = _first(line, small, fresh)
    place = first.end if first else 0
    headers = [first] if first else []
    if ":" not in small[place:]:
        return headers
    for match in _INSIDE.finditer(small, place):
        if _stands_out(line, place, match):
            headers.append(Header(_kind(match["name"]), match.start(), match.end()))
    return headers


def unknown_headers(line: str) -> int:
    """How often a line has what looks like a header of a name that is not known: a few words, a colon."""
    matches = list(_UNKNOWN.finditer(plain(line)))
    names = [(match["name"], line[match.start("name") : match.end("name")]) for match in matches]
    return sum(
        len(name.split()) <= 4
        and name not in _SECTION_OF
        and (written[0].isupper() or _is_caseless(written))
        and not _PART.match(f"{name}:")
        for name, written in names
    )


def names_part(line: str) -> bool:
    """Whether a line begins with a part of the chest and a colon, as findings in a form: `LUNGS: clear`."""
    return _PART.match(plain(line)) is not None


def _first(line: str, small: str, fresh: bool) -> Header | None:
    match = _START.match(small)
    if match is None:
        return _views(line)
    start, rest = match.start("rest"), match["rest"]
    name, kind = line[match.start("name") : match.end("name")], _kind(match["name"])
    stands_out = name[0].isupper() or _is_caseless(name)
    if colon := _AFTER_NAME.match(rest):
        return Header(kind, 0, start + colon.end())
    bare = _DECORATION.match(rest)
    if bare and bare.end() == len(rest):
        # A sentence may be dictated over several lines: only a name that stands out ends a section.
        return Header(kind, 0, len(line)) if stands_out else None
    if _is_caseless(name) and (bracket := _BRACKET.match(rest)):
        return Header(kind, 0, start + bracket.end())
    if kind in (OTHER, LINE, BANNER) or match["name"] in _WITH_COLON:
        return None
    dash = _DASH.match(rest)
    if dash and stands_out:
        return Header(kind, 0, start + dash.end())
    return Header(kind, 0, start) if _is_run_in(kind, name, line[start:], fresh) else None


def _is_run_in(kind: str, name: str, rest: str, fresh: bool) -> bool:
    """Whether the text begins behind the name with nothing between but a space: `IMPRESSION No change`."""
    if not rest[0].isspace() or _goes_on(rest):
        return False
    if _is_caseless(name):
        return fresh
    if name.isupper():
        words = without_marks(rest)
        return fresh or words.upper() != words or words.lower() == words
    # `History CHF` and `Comparison CT` are also how sentences begin.
    return kind in (FINDINGS, IMPRESSION) and fresh and name[0].isupper() and rest.lstrip()[0].isupper()


def _is_caseless(name: str) -> bool:
    """In a script that has no capitals."""
    return name.upper() == name.lower() or unicodedata.east_asian_width(name[-1]) == "W"


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
    name = line[match.start("name") : match.end("name")]
    caseless = _is_caseless(name)
    if name.isupper() and not caseless:
        return True
    gap = line[max(place, match.start() - 4) : match.start()]
    before = gap.rstrip(" \t\u3000*_[\u3010")
    if caseless and before != gap:
        return True
    return (caseless or name[0].isupper()) and (
        not before or before[-1] in ".!?;:)|\u3002\uff1b\uff1f\uff01\u3011"
    )


def _kind(name: str) -> str:
    return _SECTION_OF[" ".join(name.split())]
