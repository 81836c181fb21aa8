"""Tables and indexes are passed on: no folder of this machine is told in them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from medistill.model.saved import save_model
from medistill.serve.index.embed import embed
from medistill.serve.index.index import fill, open_index
from medistill.serve.index.places import located, portable
from medistill.serve.index.query import model_of
from medistill.serve.index.table import open_table
from medistill.system.checksums import SUMS
from tests.conftest import tiny_model, write_noise_corpus

HOME = Path("/srv/jane/work/index")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("/srv/jane/work/run", "../run"),
        ("/srv/jane/work/index/run", "./run"),
        ("/srv/jane/work/index", "./."),
        ("hf:/srv/jane/work/m", "hf:../m"),
        ("onnx:/srv/jane/work/m:int8", "onnx:../m:int8"),
        ("open_clip:local-dir:/srv/jane/m", "open_clip:local-dir:../../m"),
        ("open_clip:ViT-B-32:/srv/jane/m.pt", "open_clip:ViT-B-32:../../m.pt"),
        ("hf:org/name", "hf:org/name"),
        ("open_clip:ViT-B-32:openai", "open_clip:ViT-B-32:openai"),
    ],
)
def test_a_place_is_told_from_the_file_and_found_again(name, written):
    assert portable(name, HOME) == written
    assert located(written, HOME) == name


def test_a_place_that_shares_nothing_is_told_by_its_last_part(tmp_path, monkeypatch):
    assert portable("/data/hospital/run", HOME) == "./run"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    assert located("./run", HOME) == str(tmp_path / "run")  # where the work is done


def test_a_place_of_a_file_of_before_is_as_it_was():
    assert located("/data/run", HOME) == "/data/run"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("places")
    save_model(tiny_model(), home / "project" / "model")
    write_noise_corpus(home / "project" / "corpus")
    embed(home / "project" / "model", home / "project" / "corpus", home / "project" / "out" / "t.arrow")
    table = home / "project" / "out" / "t.arrow"
    fill(home / "project" / "deep" / "er" / "index", table, kind=None, delete=(), on_progress=lambda *_: None)
    return home


def test_no_absolute_path_is_in_a_table_or_an_index(home):
    files = [path for path in (home / "project").rglob("*") if path.is_file()]
    written = [path for path in files if "out" in path.parts or "index" in path.parts]
    assert len(written) > 2
    for path in written:
        data = path.read_bytes()
        assert os.fsencode(home) not in data
        assert b"/srv" not in data
        assert b"/tmp" not in data


def test_both_still_know_their_model_and_corpus(home):
    about = open_table(home / "project" / "out" / "t.arrow").about
    assert about.model == str(home / "project" / "model")
    assert about.corpora[0].path == str(home / "project" / "corpus")
    index = open_index(home / "project" / "deep" / "er" / "index")
    assert index.about == about
    assert model_of(index.about).encode_texts(["clear"]).shape == (1, 8)


def test_a_project_that_is_moved_as_a_whole_still_works(home, tmp_path):
    shutil.copytree(home / "project", tmp_path / "moved")
    index = open_index(tmp_path / "moved" / "deep" / "er" / "index")
    assert index.about.model == str(tmp_path / "moved" / "model")
    again = embed(tmp_path / "moved" / "model", tmp_path / "moved" / "corpus", tmp_path / "moved/out/t.arrow")
    assert again["images"] == 60


def test_an_index_of_before_opens_by_its_absolute_paths(home, tmp_path):
    shutil.copytree(home / "project" / "deep" / "er" / "index", tmp_path / "index")
    fields = json.loads((tmp_path / "index" / "index.json").read_text())
    fields["about"]["model"] = str(home / "project" / "model")
    (tmp_path / "index" / "index.json").write_text(json.dumps(fields))
    (tmp_path / "index" / SUMS).unlink()
    assert open_index(tmp_path / "index").about.model == str(home / "project" / "model")
