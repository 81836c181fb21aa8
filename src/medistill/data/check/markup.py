"""Markup that a report's source has left in its text: what of it is seen."""

import re
from collections.abc import Mapping

# Wider than what `prepare` takes out: what it does not know is to be seen here.
MARKUP: Mapping[str, re.Pattern[str]] = {
    "HL7 escapes": re.compile(r"\\\.[A-Za-z]{2}[ +-]{0,2}\d{0,4}\\|\\[A-Z](?:[0-9A-Fa-f]{2}){0,32}\\"),
    "HL7 separators": re.compile(r"\w\^+\w|\|{2,}|[A-Za-z.]~{1,3}[A-Za-z]|(?:^|\s)(?:MSH|PID|OBR|OBX|NTE)\|"),
    "written line breaks": re.compile(r"\\[nrt](?![a-z]\\)|\\u[0-9A-Fa-f]{4}|<(?:CR|LF|CRLF)>|%0[AaDd]"),
    "RTF": re.compile(r"\{\\rtf|\\(?:pard?|fs\d{1,3}|f\d|cf\d|ulnone|plain|'[0-9a-f]{2})(?![a-z])"),
    "tags": re.compile(r"</?[A-Za-z][\w:.-]{0,30}(?:\s[^<>]{0,300})?/?>|<!--|<!\[CDATA\[|<\?xml"),
    "entities": re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});"),
    "spreadsheet escapes": re.compile(r"_x[0-9A-Fa-f]{4}_|#(?:VALUE|REF|NAME|N/A)[!?]?"),
    "template fields": re.compile(
        r"\*{3}|@[A-Z][A-Z_ ]{2,40}@|\{[^{}\n]{1,80}\}|<<[^<>\n]{1,80}>>|%[A-Z_]{3,40}%|\[\*\*"
    ),
    "Markdown": re.compile(r"\*\*[^*\n]{1,200}\*\*|(?:^|\n)#{1,6} \S"),
    "control characters": re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]"),
    "wrongly decoded characters": re.compile("\ufffd|[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac"),
}
"""Kind -> what it looks like. Every repetition is bounded, so that the time is linear in the text."""
_SIGNS = re.compile("[\\\\^|~<&%@{*#_\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffd\u00c2\u00c3\u00e2]")


def markup(text: str) -> frozenset[str]:
    """The kinds of markup that the text seems to hold."""
    if _SIGNS.search(text) is None:
        return frozenset()
    return frozenset(kind for kind, pattern in MARKUP.items() if pattern.search(text))
