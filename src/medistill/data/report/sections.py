"""Report text: its sections, what is trained on, and when two texts count as the same."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from medistill.data.report.cleaning import ENDS, LINE_BREAK, clean
from medistill.data.report.headers import (
    ADDENDUM,
    BANNER,
    COMPARISON,
    FINDINGS,
    IMPRESSION,
    INDICATION,
    LINE,
    OTHER,
    VIEWS,
    WET,
    headers,
    names_part,
    unknown_headers,
)
from medistill.data.report.language import is_english
from medistill.data.report.markup import without_markup
from medistill.data.report.sentences import sentences

__all__ = ["Sections", "TextChoice", "normalized_text", "read_sections", "sentences", "training_text"]
TextChoice = Literal["findings+impression", "impression"]
_OTHER_THAN_WORDS = re.compile(r"[\W_]+")
_SIGNATURE = re.compile(
    r"\s*(?:electronically signed|dictated by|signed by|transcribed by|i have personally (?:reviewed|viewed)|"
    r"i, the (?:attending|teaching)|as the attending|\(?end of (?:report|impression|addendum)\)?)",
    re.IGNORECASE,
)
_PROSE = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*\s*$")
_PREAMBLE, _BODY = "preamble", "body"
_BEFORE_BODY = (INDICATION, COMPARISON, OTHER)
"""Sections behind whose first paragraph a description may begin without a header."""


@dataclass(frozen=True, kw_only=True)
class Sections:
    """The parts of a report, each clean text on one line, empty where the report has none."""

    findings: str = ""
    impression: str = ""
    indication: str = ""
    comparison: str = ""
    is_whole: bool = False
    """The headers are of a language that is not known: findings are the whole text."""


class _Part(NamedTuple):
    """The lines between one header and the next."""

    kind: str
    lines: list[str]
    in_addendum: bool


def read_sections(text: str) -> Sections:
    """The sections of a report, found by its headers and cleaned.

    A header stands at the start of a line: with a colon in any case; alone on its line; or before its text
    in capitals. Within a line it needs a colon, and capitals or the end of a sentence before it. Headers are
    known in English, Spanish, Portuguese, French, German, Italian, Dutch, Chinese and Japanese. Sections of
    one name are joined in their order, one that says the same again left out. Technique, examination,
    notifications, signatures and the like end a section and are dropped; so is the markup of other systems.

    Where no findings are named, what is described without a header becomes the findings: under a header of
    views (`PA AND LATERAL CHEST:`), before the first header, or in paragraphs of their own behind indication,
    comparison or technique. So all of a text without any header is findings, and none of it is taken for an
    impression: nobody called it one, and a guess would be wrong for a text that only describes.

    A wet read is superseded by the report below it and left out, unless it is all there is. An addendum adds
    the sections it names; its other words correct or comment on the report and are left out.

    Where a text in another language has headers that are not known where its findings would be, all of it is
    findings: what a header of ours has taken by chance would else be lost.
    """
    text = unicodedata.normalize("NFC", without_markup(text))
    parts = list(_parts(LINE_BREAK.sub("\n", text).split("\n")))
    if _is_unknown(parts, text):
        return Sections(findings=clean(text), is_whole=True)
    findings = _joined(parts, FINDINGS) or _joined(parts, VIEWS)
    if not findings:
        parts = _with_body(parts)
        findings = _joined(parts, _BODY)
    impression = _joined(parts, IMPRESSION)
    if not findings and not impression:
        findings = _joined(parts, WET) or _joined(parts, ADDENDUM)
    return Sections(
        findings=findings,
        impression=impression,
        indication=_joined(parts, INDICATION),
        comparison=_joined(parts, COMPARISON),
    )


def training_text(sections: Sections, choice: TextChoice = "findings+impression") -> str:
    """What to train on; empty where the report does not have it, and never made up."""
    if choice == "impression" or sections.findings == sections.impression:
        return sections.impression
    parts = [part for part in (sections.findings, sections.impression) if part]
    ended = [part if part.endswith(ENDS) else f"{part}." for part in parts[:-1]]
    return " ".join([*ended, *parts[-1:]])


def normalized_text(text: str) -> str:
    """NFKC, case folded, every run of punctuation and white space one space: equal means the same report."""
    return _OTHER_THAN_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _is_unknown(parts: list[_Part], text: str) -> bool:
    """Whether the findings may lie under a header that is not known, in a language that is not ours."""
    kinds = {part.kind for part in parts}
    if kinds & {FINDINGS, VIEWS}:
        return False
    if kinds <= {_PREAMBLE, BANNER, LINE}:
        return sum(unknown_headers(line) for part in parts for line in part.lines) > 1 and not is_english(
            text
        )
    lost = [part for part in parts if part.kind in _BEFORE_BODY]
    # Of the first line, what stands at its start is the text behind the header.
    headed = any(
        unknown_headers("x " * (not number) + line) for part in lost for number, line in enumerate(part.lines)
    )
    more = not kinds & {IMPRESSION, WET, ADDENDUM} and any(
        line.strip() for part in lost for line in part.lines[1:]
    )
    return (headed or more) and not is_english(text)


def _parts(lines: list[str]) -> Iterator[_Part]:
    part, fresh = _Part(_PREAMBLE, [], False), True
    for line in lines:
        if _SIGNATURE.match(line):
            yield part
            part = _Part(ADDENDUM if part.in_addendum else OTHER, [], part.in_addendum)
            continue
        place, back = 0, part.kind
        if part.kind in _BEFORE_BODY and names_part(line):
            yield part
            part, back = _Part(FINDINGS, [], part.in_addendum), FINDINGS
        for header in headers(line, fresh=fresh):
            part.lines.append(line[place : header.start])
            yield part
            in_addendum = header.kind == ADDENDUM or (part.in_addendum and header.kind != BANNER)
            part = _Part(header.kind, [], in_addendum)
            back = back if header.kind == LINE else header.kind
            place = header.end
        part.lines.append(line[place:])
        if part.kind == LINE:
            yield part
            part = _Part(back, [], part.in_addendum)
        fresh = not line.strip() or line.rstrip()[-1] in ".!?:;"
    yield part


def _joined(parts: list[_Part], kind: str) -> str:
    """All text of a kind; a repetition of what was said before is left out."""
    texts = dict[str, str]()
    for part in parts:
        text = clean("\n".join(part.lines)) if part.kind == kind else ""
        if key := normalized_text(text):
            texts.setdefault(key, text)
    return clean("\n\n".join(texts.values()))


def _with_body(parts: list[_Part]) -> list[_Part]:
    """The parts with what is described under no header as parts of their own: see `read_sections`."""
    if all(part.kind in (_PREAMBLE, BANNER, LINE) for part in parts):
        return [part if part.kind == LINE else _Part(_BODY, part.lines, False) for part in parts]
    divided = list[_Part]()
    for part in parts:
        first = {_PREAMBLE: 0, BANNER: 0}.get(part.kind, 1 if part.kind in _BEFORE_BODY else None)
        if first is None or part.in_addendum:
            divided.append(part)
            continue
        paragraphs = _paragraphs(part.lines)
        body = [_is_prose(text) and number >= first for number, text in enumerate(paragraphs)]
        for kind, mine in ((part.kind, False), (_BODY, True)):
            text = [text for text, is_body in zip(paragraphs, body, strict=True) if is_body == mine]
            divided.append(_Part(kind, ["\n\n".join(text)], False))
    return divided


def _paragraphs(lines: list[str]) -> list[str]:
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return ["\n".join(paragraph) for paragraph in paragraphs if paragraph]


def _is_prose(text: str) -> bool:
    return len(text.split()) > 2 and _PROSE.search(text[-40:]) is not None
