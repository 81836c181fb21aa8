"""Each command that uses a model sends it where --device says, and to the first card by itself."""

import pytest

from medistill.errors import CallError
from medistill.model import any_model, saved
from medistill.model.saved import save_model
from medistill.serve.index.embed import embed
from medistill.serve.index.index import fill
from tests.cli.test_cli import call, one_line
from tests.conftest import tiny_model, write_noise_corpus

CALLS = {
    "evaluate": "evaluate {h}/model --data {h}/corpus --out {o}/e",
    "evaluate by protocol": "evaluate {h}/model --data {h}/corpus --protocol labels --out {o}/e",
    "evaluate against": "evaluate {h}/model --data {h}/corpus --against {h}/model --out {o}/e",
    "embed": "embed {h}/model --data {h}/corpus --out {o}/table.arrow",
    "label": "label {h}/model --data {h}/corpus --findings edema --out {o}/labels.csv",
    "search": "search {h}/index --text edema",
    "serve": "serve {h}/model --index {h}/index --port 0",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    save_model(tiny_model(), home / "model")
    write_noise_corpus(home / "corpus")
    embed(home / "model", home / "corpus", home / "table.arrow", device="cpu")
    fill(str(home / "index"), home / "table.arrow", kind=None, delete=(), on_progress=lambda *_: None)
    return home


@pytest.mark.parametrize(
    ("flag", "name"), [((), "auto"), (("--device", "cpu"), "cpu"), (("--device", "cuda:1"), "cuda:1")]
)
@pytest.mark.parametrize("command", CALLS)
def test_a_model_goes_where_the_command_says(home, tmp_path, monkeypatch, capsys, command, flag, name):
    devices = []

    def stop(device):
        devices.append(device)
        raise CallError("far enough")

    monkeypatch.setattr(any_model, "chosen_device", stop)
    monkeypatch.setattr(saved, "chosen_device", stop)
    words = CALLS[command].format(h=home, o=tmp_path).split()
    assert call(*words, *flag) == 2
    assert "far enough" in one_line(capsys)
    assert devices == [name]
