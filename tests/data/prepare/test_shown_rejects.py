"""What rejected.csv gives away, and what it does to those who open it."""

import csv
import hashlib
import itertools

import pytest

from medistill.data.prepare import prepare
from medistill.data.prepare.deidentify import Deidentifier
from medistill.data.sources import CsvSource, FolderSource

KEY, OTHER = b"a key of twenty byte", b"another of that size"
BAD = ("=cmd|' -C calc'!A0.png", "+1.png", "@a.png", "-x.png", "M\udcfcller.png")


@pytest.fixture
def source(tmp_path, grey, encoded):
    """Sixty images that can be read and five that cannot."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.png").write_bytes(encoded(grey))
    for name in BAD[:4]:
        (folder / name).write_bytes(b"none")
    names = [f"{number}.png" for number in range(60)] + list(BAD[:4])
    with (tmp_path / "films" / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("image", "patient_id", "text"), *((name, f"p{name}", "Clear.") for name in names)]
        )
    return CsvSource(path=tmp_path / "films" / "t.csv")


def lines(corpus):
    with (corpus / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def guesses():
    """Ids that whoever knows the code can make of a path."""
    for name, salt in itertools.product(BAD[:4], ("", "medistill rejected row:", "path:")):
        for hashed in (hashlib.sha256, hashlib.sha1, hashlib.md5):
            yield hashed(f"{salt}{name}".encode()).hexdigest()[:16]


def test_ids_of_a_deidentified_corpus_cannot_be_guessed_back(source, tmp_path):
    cards = {}
    for name, key in (("one", KEY), ("again", KEY), ("two", OTHER)):
        cards[name] = prepare(source, tmp_path / name, deidentify=Deidentifier(key=key))
    ids = {name: [line["id"] for line in lines(tmp_path / name)] for name in cards}
    assert len(set(ids["one"])) == 4
    assert ids["one"] == ids["again"]  # who holds the key can tell which file it was
    assert not set(ids["one"]) & set(ids["two"])
    assert not set(ids["one"]) & set(guesses())
    assert ids["one"] == [Deidentifier(key=KEY).path_id(name) for name in BAD[:4]]


def test_ids_of_any_other_corpus_are_as_they_were(source, tmp_path):
    prepare(source, tmp_path / "corpus")
    salted = hashlib.sha256(b"medistill rejected row:@a.png").hexdigest()[:16]
    assert salted in [line["id"] for line in lines(tmp_path / "corpus")]


def test_paths_asked_for_are_no_formulas(source, tmp_path):
    prepare(source, tmp_path / "corpus", show_paths=True)
    assert [line["path"] for line in lines(tmp_path / "corpus")] == [f"'{name}" for name in BAD[:4]]
    assert [line["row"] for line in lines(tmp_path / "corpus")] == ["61", "62", "63", "64"]


def test_paths_of_a_deidentified_corpus_are_warned_of(source, tmp_path, caplog):
    prepare(source, tmp_path / "corpus", show_paths=True, deidentify=Deidentifier(key=KEY))
    assert "will name files as the source does" in caplog.text


def test_a_folder_with_names_of_another_encoding_is_prepared(tmp_path, grey, encoded):
    for name in (*BAD[4:], "M\udce4ller.png", "ok.png"):
        folder = tmp_path / "films" / name.removesuffix(".png") / "s"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(encoded(grey))
        (folder / "r.txt").write_text("Clear.")
    (folder / "bad\udcff.png").write_bytes(b"none")
    source = FolderSource(path=tmp_path / "films")
    for name, options in (("a", {}), ("b", {"deidentify": Deidentifier(key=KEY)})):
        card = prepare(source, tmp_path / name, show_paths=True, allow_rejects=True, **options)
        assert (card["images"], card["patients"], card["rejected"]["count"]) == (3, 3, 1)
    assert lines(tmp_path / "a")[0]["path"] == r"ok/s/bad\xff.png"
