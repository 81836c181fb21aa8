"""Where a sentence of a report ends."""

import re


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_END = re.compile(r"[.!?]+[\"')\]\u201d\u2019]*|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\uff09]*")
_BREAK = re.compile(r"\n[^\S\n]*\n\s*")
_LAST_TOKEN = re.compile(r"[^\s(\[\"]{1,12}$")
_LOOK_BACK, _LOOK_AHEAD = 13, 24  # characters: bounded, so that the time is linear in the text
_NEVER = word_set(
    "dr drs mr mrs ms prof dra sr sra st vs cf i.e ie e.g eg fig figs ca bzw z.b u.a d.h approx aprox "
    "resp incl ext int lat ant post inf sup med dcha dcho izq izda izdo re li bds"
)
"""Never the end of a sentence, whatever follows."""
_UNITS = word_set(
    "mm cm m ml cc l mg kg mcg in ft hr hrs h min sec s yr yrs wk wks mo mos a.m p.m am pm no nos etc"
)
"""The end of a sentence only where the next word looks like the start of one."""
_STARTS = word_set(
    "the there a an no this these it in heart lungs lung bones otherwise stable mild cardiac trachea "
    "mediastinum mediastinal visualized"
)
"""First words of sentences in reports; where all is in capitals, they are the only sign."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, each stripped, white space and line breaks within them made one space.

    A period ends none in `1.5 cm`, after an abbreviation (`Dr.`, `i.e.`), a single letter (`T. spine`), a
    list number, nor after a unit before a small letter (`a 5 mm. nodule`). An empty line always ends one.
    """
    parts: list[str] = []
    for paragraph in _BREAK.split(text):
        parts += _in_paragraph(" ".join(paragraph.split()))
    return parts


def _in_paragraph(text: str) -> list[str]:
    parts, start = list[str](), 0
    shouted = text.isupper()
    for end in _END.finditer(text):
        if _is_end(text, start, end, shouted):
            parts.append(text[start : end.end()].strip())
            start = end.end()
    rest = text[start:].strip()
    return [*parts, rest] if rest else parts


def _is_end(text: str, start: int, mark: re.Match[str], shouted: bool) -> bool:
    after = text[mark.end() : mark.end() + _LOOK_AHEAD]
    if mark[0][0] not in "." or not after.strip():
        return mark[0][0] not in ".!?" or not after or after[0].isspace()
    before = _LAST_TOKEN.search(text[max(start, mark.start() - _LOOK_BACK) : mark.start()])
    token = before[0] if before else ""
    if not after[0].isspace():
        return _runs_on(token, after)
    if token.isdigit() and not text[start : mark.start() - len(token)].strip():
        return False
    if len(token) == 1 and token.isalpha() and token.isascii():
        return False
    token = token.lower().lstrip("0123456789").strip("-/")
    return token not in _NEVER and (token not in _UNITS or _starts(after.lstrip(), shouted))


def _runs_on(token: str, after: str) -> bool:
    """Whether a sentence was typed against the last one without a space: `the apex.There is`."""
    return len(token) > 2 and token[-2:].islower() and after[0].isupper() and after[1:2].islower()


def _starts(following: str, shouted: bool) -> bool:
    if shouted:
        return re.split(r"\W", following, maxsplit=1)[0].lower() in _STARTS
    return following[0].isupper() or not following[0].isalnum()
