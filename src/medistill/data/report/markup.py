"""The markup that hospital systems and exports leave in reports, taken out."""

import html
import re
from typing import Any

from medistill.data.report.words import read_words

_WORDS: Any = read_words(__package__, "markup.yaml")
_SIGNS: dict[str, str] = _WORDS["hl7"]["signs"]
_ELEMENTS: dict[str, str] = {
    name: mark
    for kind, mark in (("lines", "\n"), ("cells", " | "), ("nothing", ""))
    for name in _WORDS["elements"][kind]
}


def _any(names: list[str]) -> str:
    return "|".join(map(re.escape, names))


# Every repetition is bounded, so that the time is linear in the text.
_HL7_LINE = re.compile(rf"\\\.(?:{_any(_WORDS['hl7']['lines'])})\s?[+-]?\d{{0,4}}\\", re.IGNORECASE)
_HL7_BYTES = re.compile(r"\\X((?:[0-9A-F]{2}){1,64})\\")
_HL7_SIGN = re.compile(rf"\\([{''.join(_SIGNS)}])\\")
_HL7_CHARSET = re.compile(r"\\[CMZ][0-9A-Za-z]{1,16}\\")
_TILDE = re.compile(r"[ \t]{0,8}~(?:(?<=[.:;?!~]~)|(?<=^~)|(?<=\n~)|(?![ \t]?[\d.]))[ \t]{0,8}")
"""A repetition of HL7: a new line. Before a number it says about: `~5 mm`."""
_WRITTEN_BREAK = re.compile(r"\\{1,2}r\\{1,2}n|\\{1,2}n|\\{1,2}r(?=[A-Z\s]|$)")
_WRITTEN_TAB = re.compile(r"\\{1,2}t(?![a-z]{1,3}\\)")
_WRITTEN_CODE = re.compile(r"(?:\\{1,2}u[0-9a-fA-F]{4}){1,2}|\\(?=[\"'])")
"""What stands for characters in JSON and in programs, written out."""
_SHEET_BREAK = re.compile(
    r"_x000[aAdD]_|<(?:CR|LF|CRLF)>|\[(?:CR|LF|CRLF)\]|&(?:amp;)?#(?:x0?[aAdD]|1[03]);", re.IGNORECASE
)
_WITH_TEXT = re.compile(
    rf"<(?P<name>{_any(_WORDS['elements']['with_text'])})\b[^<>]{{0,500}}>.{{0,20000}}?</(?P=name)>|<!--.{{0,20000}}?-->"
    r"|<[?!][^<>]{0,500}>|<!\[CDATA\[|\]\]>",
    re.IGNORECASE | re.DOTALL,
)
_ELEMENT = re.compile(
    rf"</?({_any(sorted(_ELEMENTS, key=len, reverse=True))})(?:\s[^<>]{{0,500}})?\s?/?>", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f\u00ad\u200b\u200e\u200f\u2060\ufeff]")
_RTF_SKIPPED = re.compile(rf"\{{\\(?:\*|(?:{_any(_WORDS['rtf'])})(?![a-z]))")
_RTF_WORD = re.compile(
    r"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-z])|[{}]|[\r\n]{1,2}", re.IGNORECASE
)


def without_markup(text: str) -> str:
    """The words of a text, without escapes of HL7, HTML, RTF and spreadsheets; line breaks are kept as such.

    Only what is known is taken out: `w/o`, `<5 mm`, `~2 cm`, `r\\o` and `AT&T` stay. Clean text stays
    as it is.
    """
    if text.lstrip().startswith("{\\rtf"):
        text = _of_rtf(text.strip())
    if "_x" in text or "<" in text or "[" in text or "&" in text:
        text = _of_html(_SHEET_BREAK.sub("\n", text))
    if "\\" in text:
        text = _of_escapes(text)
    if "~" in text:
        text = _TILDE.sub("\n", text)
    return _INVISIBLE.sub("", text)


def _of_escapes(text: str) -> str:
    text = _HL7_BYTES.sub(_of_bytes, _HL7_LINE.sub("\n", text))
    text = _HL7_CHARSET.sub("", text)
    text = _WRITTEN_CODE.sub(_of_code, text)
    text = _WRITTEN_TAB.sub("\t", _WRITTEN_BREAK.sub("\n", text))
    return _HL7_SIGN.sub(lambda sign: _SIGNS[sign[1]], text)


def _of_code(code: re.Match[str]) -> str:
    """Characters beyond 16 bits are written as two halves; a half alone is no character."""
    halves = code[0].replace("\\\\", "\\")
    units = b"".join(int(half, 16).to_bytes(2) for half in halves.split("\\u")[1:])
    return units.decode("utf-16-be", "replace")


def _of_bytes(escape: re.Match[str]) -> str:
    return bytes.fromhex(escape[1]).decode("latin-1")


def _of_html(text: str) -> str:
    text = _ELEMENT.sub(_of_element, _WITH_TEXT.sub("", text))
    # Twice: what was escaped for one system is often escaped again by the next.
    for _ in range(2):
        text = _ENTITY.sub(_of_entity, text)
    return _ELEMENT.sub(_of_element, text)


def _of_element(element: re.Match[str]) -> str:
    mark = _ELEMENTS[element[1].lower()]
    return "" if mark == " | " and not element[0].startswith("</") else mark


def _of_entity(entity: re.Match[str]) -> str:
    return html.unescape(entity[0]).replace("\xa0", " ")


def _of_rtf(text: str) -> str:
    """The text of a document in RTF: its groups of fonts and styles left out, its signs put back."""
    kept, place, depth, skipped = list[str](), 0, 0, 0
    for match in _RTF_WORD.finditer(text):
        if not skipped:
            kept.append(text[place : match.start()])
        place = match.end()
        if match[0] == "{":
            depth += 1
            skipped = skipped or (depth if _RTF_SKIPPED.match(text, match.start()) else 0)
        elif match[0] == "}":
            skipped = 0 if skipped == depth else skipped
            depth -= 1
        elif not skipped:
            sign = _of_rtf_word(match)
            kept.append(sign)
            # Behind `\\u8217` stands what a reader without Unicode shows.
            if match[1] == "u" and match[2] and text[place : place + 1] not in ("", "\\", "{", "}"):
                place += 1
    return "".join(kept)


def _of_rtf_word(match: re.Match[str]) -> str:
    word, number, code, sign = match.groups()
    if code:
        return bytes.fromhex(code).decode("cp1252", "replace")
    if word:
        if word == "u" and number and abs(int(number)) < 0x10000:
            return chr(int(number) % 0x10000)
        return {"par": "\n", "line": "\n", "row": "\n", "tab": "\t", "cell": " | "}.get(word.lower(), "")
    return {"~": " ", "_": "-", "\\": "\\", "{": "{", "}": "}"}.get(sign or "", "")
