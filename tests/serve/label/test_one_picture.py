"""One picture costs itself, whatever its decoder raises: in labels, and in a search by image."""

import csv
import os

import pytest

from medistill.data.image import encode_image
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Study, StudyImage
from medistill.errors import CallError, MedistillError
from medistill.model.embedder import UnitEmbedder
from medistill.serve import reading
from medistill.serve.index.find import image_vector
from medistill.serve.label import label
from medistill.serve.reading import read_images
from medistill.serve.wanted import Wanted
from medistill.system.files import LEADS_OUT
from medistill.system.isolated import GaveUp
from tests.conftest import each_a_unit, tiny_model
from tests.pictures import NO_PALETTE, STUMBLES
from tests.serve.conftest import film, write_films


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("bad", STUMBLES)
def test_a_picture_that_a_decoder_stumbles_over_is_a_reason(tmp_path, bad, workers):
    if workers and bad != "no palette":
        pytest.skip("processes take long to start: one is enough")
    (tmp_path / "bad.png").write_bytes(STUMBLES[bad])
    (tmp_path / "good.png").write_bytes(encode_image(film(0, 0, 1)))
    paths = [tmp_path / "bad.png", tmp_path / "good.png"]
    first, second = read_images(paths, size=32, workers=workers)
    assert isinstance(first, GaveUp)
    assert first.reason
    assert second.shape == (32, 32)


def test_an_error_that_nobody_foresaw_is_a_reason_that_quotes_nothing(tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise LookupError("Jane Doe")

    (tmp_path / "a.png").write_bytes(encode_image(film(0, 0, 1)))
    monkeypatch.setattr(reading, "decode_image", fail)
    (only,) = read_images([tmp_path / "a.png"], size=32, workers=0)
    assert only == GaveUp("cannot be read: its decoder failed with LookupError")


def test_labels_of_a_folder_and_of_a_corpus_go_on_behind_such_a_picture(german, tmp_path):
    films = write_films(tmp_path / "films", range(4))
    (films / "bad.png").write_bytes(NO_PALETTE)
    label(german.run, tmp_path / "a.csv", Wanted(findings=("nodule",)), images=films)
    rows = {row["image"]: row for row in rows_of(tmp_path / "a.csv")}
    assert [name for name, row in rows.items() if row["unreadable"]] == ["bad.png"]
    assert rows["film001.png"]["uncalibrated/nodule"]

    images = [encode_image(film(0, 0, 1)), NO_PALETTE, encode_image(film(1, 0, 2))]
    studies = [
        Study(study_id=f"s{i}", patient_id=f"p{i}", images=(StudyImage(image=image),))
        for i, image in enumerate(images)
    ]
    write_corpus(each_a_unit(studies), tmp_path / "corpus", source="test", made_with={})
    label(german.run, tmp_path / "b.csv", Wanted(findings=("nodule",)), data=tmp_path / "corpus")
    assert [bool(row["unreadable"]) for row in rows_of(tmp_path / "b.csv")] == [False, True, False]
    assert "row" not in rows_of(tmp_path / "b.csv")[1]["unreadable"]


def test_such_a_picture_to_search_by_is_one_line(tmp_path):
    (tmp_path / "bad.png").write_bytes(NO_PALETTE)
    with pytest.raises(MedistillError, match=r"^--image cannot be read: ."):
        image_vector(UnitEmbedder(tiny_model()), tmp_path / "bad.png")


def test_pipes_and_links_out_of_the_folder_are_rows_with_a_reason(german, tmp_path):
    films = write_films(tmp_path / "films", range(3))
    write_films(tmp_path / "away", range(10, 12))
    os.mkfifo(films / "pipe.png")
    (films / "one.png").symlink_to("../away/film010.png")
    (films / "more").symlink_to(tmp_path / "away")
    label(german.run, tmp_path / "a.csv", Wanted(findings=("nodule",)), images=films)
    reasons = {row["image"]: row["unreadable"] for row in rows_of(tmp_path / "a.csv") if row["unreadable"]}
    assert reasons == {"pipe.png": "not a file but a named pipe", "one.png": LEADS_OUT, "more": LEADS_OUT}
    label(german.run, tmp_path / "b.csv", Wanted(findings=("nodule",)), images=films, follow_links=True)
    rows = {row["image"]: row for row in rows_of(tmp_path / "b.csv")}
    assert [name for name, row in rows.items() if row["unreadable"]] == ["pipe.png"]
    assert {"one.png", "more/film010.png", "more/film011.png"} < set(rows)
    assert rows["one.png"]["uncalibrated/nodule"] == rows["more/film010.png"]["uncalibrated/nodule"]


def test_a_folder_of_links_alone_says_what_follows_them(german, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "films").symlink_to(german.films)
    with pytest.raises(CallError, match=r"nothing in .* but 1 of this: .*--follow-links"):
        label(german.run, tmp_path / "a.csv", Wanted(findings=("nodule",)), images=tmp_path / "links")


def test_names_of_files_and_ids_are_no_formulas_in_labels(german, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    names = ("=1+1.png", "@a.png", "-1.png", "+cmd.png", "M\udcfcller.png", "a\nb.png")
    for name in names:
        (films / name).write_bytes(encode_image(film(0, 0, 1)))
    label(german.run, tmp_path / "a.csv", Wanted(findings=("nodule",)), images=films)
    shown = {"'=1+1.png", "'@a.png", "'-1.png", "'+cmd.png", r"M\xfcller.png", "a\nb.png"}
    assert {row["image"] for row in rows_of(tmp_path / "a.csv")} == shown

    studies = [
        Study(study_id=f"=s{i}", patient_id=f"-{i}", images=(StudyImage(image=encode_image(film(0, 0, i))),))
        for i in range(2)
    ]
    write_corpus(each_a_unit(studies), tmp_path / "corpus", source="test", made_with={})
    label(german.run, tmp_path / "b.csv", Wanted(findings=("nodule",)), data=tmp_path / "corpus")
    rows = rows_of(tmp_path / "b.csv")
    assert [(row["study_id"], row["patient_id"]) for row in rows] == [("'=s0", "-0"), ("'=s1", "-1")]
    assert all(float(row["uncalibrated/nodule"]) >= 0 for row in rows)
