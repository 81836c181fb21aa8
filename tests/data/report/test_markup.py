"""The markup of hospital systems is taken out, and what only looks like it stays."""

import pytest

from medistill.data.report import read_sections
from medistill.data.report.markup import without_markup

PARTS = ("The lungs are clear.", "No disease.")


@pytest.mark.parametrize(
    "text",
    [
        r"FINDINGS: The lungs are clear.\.br\IMPRESSION: No disease.",
        r"FINDINGS:\.br\\.br\The lungs are clear.\.sp2\IMPRESSION:\.in+4\No disease.",
        r"FINDINGS: The lungs are clear.\X0D\\X0A\IMPRESSION: No disease.",
        r"FINDINGS: The lungs are clear.\X0D0A\IMPRESSION: \H\No disease.\N\ ",
        "FINDINGS: The lungs are clear.~IMPRESSION: No disease.",
        "FINDINGS:~The lungs are clear.~~IMPRESSION:~No disease.",
        r"FINDINGS: The lungs are clear.\nIMPRESSION: No disease.",
        r"FINDINGS:\tThe lungs are clear.\r\nIMPRESSION:\tNo disease.",
        r"FINDINGS: The lungs are clear.\\nIMPRESSION: No disease.",
        r"FINDINGS: The lungs are clear.\u000aIMPRESSION: No disease.",
        "<p>FINDINGS: The lungs are clear.</p><p>IMPRESSION:&nbsp;No disease.</p>",
        "FINDINGS: The lungs are clear.<br />IMPRESSION: <b>No</b> disease.",
        "&lt;div&gt;FINDINGS: The lungs are clear.&lt;/div&gt;IMPRESSION: No disease.",
        "FINDINGS: The lungs are clear.&#xD;&#10;IMPRESSION: No disease.",
        "<style>p {}</style><text>FINDINGS: The lungs are clear.<paragraph>IMPRESSION: No disease.</text>",
        "FINDINGS: The lungs are clear._x000D_IMPRESSION: No disease.",
        "FINDINGS: The lungs are clear.<CR><LF>IMPRESSION: No disease.",
        r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\*\generator x;}\f0\fs20 FINDINGS: The lungs are clear.\par "
        r"{\b IMPRESSION:} No disease.\par}",
        "FINDINGS: The\u00ad lungs are\x00 clear.\x0bIMPRESSION:\ufeff No disease.",
    ],
)
def test_the_sections_are_read_through_markup(text):
    read = read_sections(text)
    assert (read.findings, read.impression) == PARTS


@pytest.mark.parametrize(
    "text",
    [
        "Nodule of ~5 mm, ~ 2 cm from the pleura (~3 cm).",
        r"Film w\o effusion, r\o pneumonia, and\or edema.",
        "Nodules <5 mm and >3 mm; AT&T & R&D; x < y > z.",
        "Size <b 5 mm, 3 [2] cm _x_ {a}.",
        "Lines\n\nof a report\tas they are.",
        "\u80ba\u91ce\u306f\u6e05\u3002 \u00c9panchement.",
    ],
)
def test_what_only_looks_like_markup_stays(text):
    assert without_markup(text) == text


def test_signs_that_were_escaped_come_back():
    assert without_markup(r"a \F\ b \S\ c \T\ d \E\ e") == "a | b ^ c & d \\ e"
    assert without_markup("5 &lt; 6 &amp;amp; 7") == "5 < 6 & 7"
    assert without_markup(r"{\rtf1 \'e9panchement \u8217?\~x}") == "\u00e9panchement \u2019 x"
    assert without_markup(r"\u00e9 \ud83d\ude00 \ud83d") == "\u00e9 \U0001f600 \ufffd"
