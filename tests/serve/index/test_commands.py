"""`medistill embed`, `index` and `search` as a user meets them."""

import json

import numpy as np
import pytest

from medistill.cli.search import print_hits
from medistill.data.corpus import Rows, open_corpus
from medistill.data.image import encode_image
from medistill.model.saved import load, save_model
from medistill.serve.index.case import Case, Hit, case_id
from medistill.serve.index.find import case_image
from medistill.serve.index.index import open_index
from medistill.serve.index.table import open_table
from tests.cli.test_cli import call, one_line
from tests.conftest import tiny_model, write_noise_corpus


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, a corpus, its table and an index of it."""
    home = tmp_path_factory.mktemp("search")
    save_model(tiny_model(), home / "model")
    write_noise_corpus(home / "corpus")
    assert call("embed", home / "model", "--data", home / "corpus", "--out", home / "table.arrow") == 0
    assert call("index", home / "table.arrow", "--out", home / "index") == 0
    return home


def found(capsys, *arguments) -> list[dict]:
    assert call("search", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def rows_of(home):
    corpus = open_corpus(home / "corpus")
    return corpus, Rows(corpus, np.arange(corpus.table.num_rows))


def test_a_text_finds_what_the_model_puts_next_to_it(home, capsys):
    corpus, rows = rows_of(home)
    model = load(home / "model")
    images = model.encode_images([rows.image(i) for i in range(60)]).numpy()
    scores = images @ model.encode_texts(["heart size is normal"]).numpy()[0]
    hits = found(capsys, home / "index", "--text", "heart size is normal", "--k", 5)
    best = np.argsort(-scores, kind="stable")[:5]
    assert [hit["row"] for hit in hits] == best.tolist()
    np.testing.assert_allclose([hit["score"] for hit in hits], scores[best], atol=2e-5)
    assert [hit["text"] for hit in hits] == [rows.texts[row] for row in best]
    assert [hit["id"] for hit in hits] == [case_id(corpus.card["sha256"], int(row)) for row in best]


def test_an_image_finds_itself_and_both_together_are_weighed(home, tmp_path, capsys):
    _, rows = rows_of(home)
    (tmp_path / "film.png").write_bytes(encode_image(rows.image(7)))
    flags = [home / "index", "--image", tmp_path / "film.png", "--k", 60]
    (alone, *_) = found(capsys, *flags)
    assert (alone["row"], alone["score"]) == (7, pytest.approx(1, abs=1e-4))
    text = found(capsys, home / "index", "--text", "no edema", "--k", 60)
    assert found(capsys, *flags, "--text", "no edema", "--weight", 0) == text
    assert found(capsys, *flags, "--text", "no edema", "--weight", 1) == found(capsys, *flags)
    assert found(capsys, *flags, "--text", "no edema")[0]["score"] < 0.999


def test_filters_are_flags(home, capsys):
    flags = [home / "index", "--text", "lung", "--label", "effusion=0", "edema", "--k", 60]
    hits = found(capsys, *flags)
    assert len(hits) == 10
    assert {(hit["labels"]["effusion"], hit["labels"]["edema"]) for hit in hits} == {(0, 1)}


def test_the_table_for_people_has_a_line_a_study(home, capsys):
    assert call("search", home / "index", "--text", "lung", "--k", 3) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    assert said.out.split()[:6] == ["score", "study", "view", "sex", "age", "report"]


@pytest.mark.parametrize("width", [80, 120])
def test_only_reports_are_cut_to_the_width_of_the_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    told = {"patient_id": "p", "split": "test", "source": "", "labels": {}, "row": 0, "date": None}
    study, text = "s" * 25, "[bold]Large effusion.\n" + "No edema. " * 30
    case = Case(id="0" * 32, study_id=study, view="lateral", sex="F", age=61.4, text=text, **told)
    print_hits([Hit(case=case, score=0.8125)])
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["score", "study", "view", "sex", "age", "report"]
    assert line.split()[:7] == ["0.812", study, "lateral", "F", "61", "[bold]Large", "effusion."]
    assert len(line) == width
    assert line.endswith("…")


def test_the_picture_of_a_hit_comes_from_the_corpus(home, capsys):
    _, rows = rows_of(home)
    index = open_index(home / "index")
    for hit in found(capsys, home / "index", "--text", "lung", "--k", 3):
        case = index.case(hit["id"])
        assert case is not None
        np.testing.assert_array_equal(case_image(index, case), rows.image(hit["row"]))


def test_calls_that_cannot_work_are_one_line(home, tmp_path, capsys):
    save_model(tiny_model(seed=1), tmp_path / "other")
    (tmp_path / "secret.png").write_bytes(b"no image")
    index, text = home / "index", ["--text", "lung"]
    for status, arguments, said in (
        (2, ["search", index], "nothing to search for"),
        (2, ["search", index, "--text", " "], "--text is empty"),
        (2, ["search", tmp_path / "none", *text], "no such folder"),
        (2, ["search", tmp_path, *text], "not an index"),
        (2, ["search", index, *text, "--view", "PA"], "no view `PA` in the index; it has none stated"),
        (2, ["search", index, *text, "--k", 0], "found k = 0"),
        (2, ["search", index, *text, "--model", tmp_path / "other"], "is of another model"),
        (2, ["search", index, "--image", tmp_path / "none.png"], "no such file"),
        (1, ["search", index, "--image", tmp_path / "secret.png"], "not a PNG, JPEG or DICOM"),
        (2, ["index", "--out", index], "nothing to do"),
        (2, ["index", home / "model", "--out", index], "no such file"),
        (2, ["index", home / "table.arrow", "--out", home / "corpus"], "is there and no index"),
        (2, ["index", home / "table.arrow", "--out", index, "--kind", "usearch"], "is of kind exact"),
        (
            2,
            ["embed", tmp_path / "other", "--data", home / "corpus", "--out", home / "table.arrow"],
            "another model",
        ),
        (2, ["embed", home / "model", "--data", tmp_path, "--out", tmp_path / "t"], "not a corpus"),
    ):
        assert call(*arguments) == status
        assert said in one_line(capsys)


def test_a_table_of_another_model_is_refused(home, tmp_path, capsys):
    save_model(tiny_model(seed=1), tmp_path / "other")
    call("embed", tmp_path / "other", "--data", home / "corpus", "--out", tmp_path / "other.arrow")
    capsys.readouterr()
    assert call("index", tmp_path / "other.arrow", "--out", home / "index") == 2
    assert "is of another model" in one_line(capsys)
    assert len(open_index(home / "index")) == 60


def test_an_index_that_was_emptied_says_so_and_nothing_of_views(home, tmp_path, capsys):
    index = tmp_path / "index"
    call("index", home / "table.arrow", "--out", index)
    call("index", "--out", index, "--delete", *sorted(open_table(home / "table.arrow").study_ids()))
    for flags in (
        ["--view", "PA"],
        ["--sex", "F"],
        ["--source", "x"],
        ["--label", "edema"],
        ["--min-age", 0],
    ):
        capsys.readouterr()
        assert call("search", index, "--text", "lung", *flags) == 2
        assert "the index is empty" in one_line(capsys)
    assert call("search", index, "--text", "lung") == 0
    assert "no study was found" in capsys.readouterr().err


ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"


def test_hits_tell_a_terminal_nothing(capsys):
    case = Case(
        id="a",
        study_id=f"s1{ESCAPES}",
        patient_id="p",
        row=0,
        split="test",
        view=ESCAPES,
        sex="F",
        age=1.0,
        date=None,
        source="test",
        text=f"clear\r\n{ESCAPES}",
        labels={},
    )
    print_hits([Hit(case=case, score=0.5)])
    out = capsys.readouterr().out
    assert r"s1\x1b[2J" in out
    assert r"clear \x1b[2" in out
    assert not set(out) & set("\x1b\x07\x9b\u202e\r")
