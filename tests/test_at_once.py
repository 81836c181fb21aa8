"""Commands that write into one folder at once, or cannot write all of it: one line, and never a mixture."""

import shutil
from types import SimpleNamespace

import pytest

from medistill.cli import main
from medistill.data.check.report import check_and_write
from medistill.errors import CallError
from medistill.evaluate.run import evaluate_against, evaluate_by_protocol, evaluate_run
from medistill.pretrain import pretrain
from medistill.serve.card.text import write_card
from medistill.serve.export.export import export
from medistill.serve.index.embed import embed
from medistill.system.atomic import atomic_folder
from medistill.system.locks import writing
from tests.conftest import tiny_recipe, write_noise_corpus

BUSY = "another run is writing"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write_noise_corpus(home / "corpus")
    pretrain(tiny_recipe(epochs=1), home / "corpus", home / "run", watch=lambda *_: None)
    return SimpleNamespace(run=home / "run", corpus=home / "corpus")


COMMANDS = {
    "evaluate": lambda home, out: evaluate_run(home.run, home.corpus, out),
    "protocol": lambda home, out: evaluate_by_protocol(home.run, home.corpus, out, ["labels"]),
    "against": lambda home, out: evaluate_against([str(home.run)] * 2, home.corpus, out),
    "check": lambda home, out: check_and_write(home.corpus, out),
    "card": lambda home, out: write_card(home.run, out / "README.md"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_being_written_is_refused_in_one_line(home, tmp_path, name):
    with writing(tmp_path / "out"), pytest.raises(CallError, match=BUSY) as error:
        COMMANDS[name](home, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    COMMANDS[name](home, tmp_path / "out")


def test_an_export_beside_another_is_refused(home, tmp_path):
    with atomic_folder(tmp_path / "out"), pytest.raises(CallError, match=BUSY):
        export(str(home.run), "open_clip", tmp_path / "out")


def test_an_evaluation_whose_page_cannot_be_written_replaces_nothing(home, tmp_path, capsys):
    evaluate_run(home.run, home.corpus, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "page.html").unlink()
    (tmp_path / "page.html").mkdir()
    with pytest.raises(SystemExit) as end:
        main(
            ["evaluate", str(home.run), "--data", str(home.corpus), "--out", str(tmp_path), "--split", "val"]
        )
    assert end.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("medistill: ")
    for name in ("metrics.json", "evaluation.json"):
        assert (tmp_path / name).read_bytes() == before[name]


@pytest.mark.parametrize("command", ["prepare", "embed", "label"])
def test_a_link_in_place_of_what_a_stopped_run_left_is_not_followed(home, tmp_path, capsys, command):
    (tmp_path / "mine").mkdir()
    out, name, call = {
        "prepare": ("corpus", ".corpus.partial", ["prepare", "phantom", "--count", "4"]),
        "embed": ("t.arrow", ".t.arrow.embeddings", ["embed", home.run, "--data", home.corpus]),
        "label": (
            "l.csv",
            ".l.csv.partial",
            ["label", home.run, "--data", home.corpus, "--findings", "edema"],
        ),
    }[command]
    (tmp_path / name).symlink_to(tmp_path / "mine")
    with pytest.raises(SystemExit) as end:
        main([*map(str, call), "--out", str(tmp_path / out)])
    assert end.value.code == 2
    assert f"{name} is a link" in capsys.readouterr().err
    assert not list((tmp_path / "mine").iterdir())


def test_a_link_inside_what_a_stopped_run_left_is_not_written_through(home, tmp_path):
    partial = tmp_path / ".corpus.partial"
    partial.mkdir()
    (tmp_path / "mine").write_text("mine")
    for name in ("journal.jsonl", "data-00000-of-00001.arrow"):
        (partial / name).symlink_to(tmp_path / "mine")
    write_noise_corpus(tmp_path / "corpus")
    assert (tmp_path / "mine").read_text() == "mine"
    shutil.rmtree(tmp_path / "corpus")


def test_embedding_goes_on_as_before(home, tmp_path):
    assert embed(home.run, home.corpus, tmp_path / "t.arrow")["images"] == 60
