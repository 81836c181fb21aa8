"""`check` warns of markup that is left in texts, by kind and without a word of them."""

import pytest

from medistill.data.check.markup import markup
from medistill.data.check.texts import measure_texts, single_text_flags


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (r"Lungs clear.\.br\Heart normal.", "HL7 escapes"),
        (r"Lungs \H\clear\N\.", "HL7 escapes"),
        ("Lungs clear.~Heart normal.", "HL7 separators"),
        ("Lungs^clear", "HL7 separators"),
        (r"Lungs clear.\nHeart normal.", "written line breaks"),
        (r"{\rtf1 Lungs clear.\par}", "RTF"),
        ("<p>Lungs clear.</p>", "tags"),
        ("<x:unknown a='b'>Lungs clear.", "tags"),
        ("Lungs&nbsp;clear.", "entities"),
        ("Lungs clear._x000D_", "spreadsheet escapes"),
        ("Lungs are ***.", "template fields"),
        ("Seen by @NAME@.", "template fields"),
        ("Lungs {clear:123}.", "template fields"),
        ("**Lungs** clear.", "Markdown"),
        ("Lungs\x07 clear.", "control characters"),
        ("\u00c3\u00a9panchement", "wrongly decoded characters"),
    ],
)
def test_each_kind_is_seen(text, kind):
    assert kind in markup(text)


@pytest.mark.parametrize(
    "text",
    [
        "Nodule of ~5 mm (<1 cm, >3 mm) & no effusion; 50% larger.",
        "Film w/o effusion, r/o pneumonia, AT&T, x < y.",
        "Compared to ___, no change. XXXX.",
        "Silueta card\u00edaca normal. \u00c9panchement. PULM\u00c3O \u00c2NGULO.",
        "\u80ba\u91ce\u306f\u6e05\u3002",
        "Edema | no",
        "Lungs clear.\n\nHeart normal.\tBones normal.",
    ],
)
def test_plain_text_has_none(text):
    assert markup(text) == frozenset()


def test_texts_with_markup_are_flagged_by_kind_and_never_quoted(write, study):
    texts = ["The heart is normal. No effusion."] * 3 + [r"Heart normal.\.br\Lungs <b>clear</b>."]
    corpus = write([study(number, text=text) for number, text in enumerate(texts)])
    flag = {flag.check: flag for flag in single_text_flags(measure_texts(corpus))}["markup"]
    assert [case[0] for case in flag.cases] == [3]
    assert flag.figures == {"HL7 escapes": 1, "tags": 1}
    assert "Heart" not in flag.said
    assert flag.severity == "warning"
