"""Rows of a table that a stray mark put into a text are seen there."""

import pytest

from medistill.data.check.rows import holds_rows
from medistill.data.check.run import check_corpus
from tests.planted import phantom_corpus, planted

KNOWN = {"MRN-0042", "50414267"}


@pytest.mark.parametrize(
    "text",
    [
        "Clear lungs.\nb.png,p2,Effusion.\nc.png,p3,Edema.",
        "Clear lungs. img/b.dcm;p2;Effusion.",
        'Clear.\n"b.jpeg",p2,Effusion.',
        "Clear lungs.\nMRN-0042,Effusion.",
        "Clear lungs.\tEdema\n50414267\tEffusion",
        "Clear.\nA1234,Effusion.\nA1235,Edema.",
        "Clear.\n2001|x|Effusion.\n2002|x|Edema.",
    ],
)
def test_rows_in_a_text_are_seen(text):
    assert holds_rows(text, KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "Heart, mediastinum, and pleura are normal.\nNo change since 2019, 2020.",
        "Nodules of 3,4 and 5,6 mm at L1,L2,L3; 1,234 images.",
        "1,5 cm\n1,7 cm\nsee img.png, and the report",
        "Compared with 50414267, unchanged. MRN-0042 was seen.",
        "10-12,\n11-12,\nv1.2",
        "2019,2020 unchanged",
        "1. Clear;\n2. No effusion;",
    ],
)
def test_prose_is_not_taken_for_rows(text):
    assert not holds_rows(text, KNOWN)


def test_a_corpus_with_such_a_text_is_warned_of_and_not_quoted(tmp_path):
    corpus = phantom_corpus(tmp_path / "corpus", count=12)
    assert not check_corpus(planted(corpus, tmp_path / "same", lambda rows: None)).by_check["rows_in_texts"]

    def plant(rows):
        rows[3]["text"] += "\nb.png,p77,Pneumonia."

    (flag,) = check_corpus(planted(corpus, tmp_path / "planted", plant)).by_check["rows_in_texts"]
    assert (flag.severity, flag.count, flag.cases) == ("warning", 1, ((3,),))
    assert "p77" not in flag.said
