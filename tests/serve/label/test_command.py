"""`medistill label` and `medistill card` as a user meets them."""

import json

from tests.cli.test_cli import call, one_line
from tests.serve.conftest import PROMPTS, write_films
from tests.serve.label.test_shots import write_shots


def test_label_prints_its_account_alone_on_standard_output(german, tmp_path, capsys):
    films, out = write_films(tmp_path / "films", range(4)), tmp_path / "labels.csv"
    (films / "secret.png").write_bytes(b"no image")
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    flags = ["--images", films, "--prompts", tmp_path / "prompts.json", "--workers", 1, "--json"]
    assert call("label", german.run, *flags, "--out", out) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads((tmp_path / "labels.json").read_text())
    assert "effusion" in said.err
    assert "1 images cannot be read" in said.err
    assert "secret" not in said.err + said.out


def test_a_call_of_label_that_cannot_work_is_one_line(german, tmp_path, capsys):
    films, out = ["--images", german.films], ["--out", tmp_path / "labels.csv"]
    shots = write_shots(tmp_path / "shots.csv", range(2))
    for flags, said in (
        ([*films], "nothing to look for"),
        (["--findings", "edema"], "give either --data CORPUS or --images DIR"),
        ([*films, "--findings", "edema", "--data", german.corpus], "give either --data"),
        ([*films, "--shots", shots, "--calibrate", german.corpus], "--calibrate goes with"),
        ([*films, "--classifier", tmp_path], "no classifier in"),
        ([*films, "--prompts", tmp_path / "none.json"], "cannot read prompts"),
        ([*films, "--shots", tmp_path / "none.csv"], "no such file"),
        (["--images", tmp_path / "none", "--findings", "edema"], "no such folder"),
    ):
        assert call("label", german.run, *flags, *out) == 2
        assert said in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["shots.csv"]


def test_prompts_of_one_side_are_refused(german, tmp_path, capsys):
    (tmp_path / "prompts.json").write_text(json.dumps({"effusion": {"positive": ["Erguss."]}}))
    flags = ["--images", german.films, "--prompts", tmp_path / "prompts.json"]
    assert call("label", german.run, *flags, "--out", tmp_path / "labels.csv") == 2
    assert "under 'negative'" in one_line(capsys)


def test_card_says_what_it_is_of(german, tmp_path, capsys):
    assert call("card", german.run, "--out", tmp_path / "README.md", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["evaluations"], told["corpus_known"]) == ("tiny-msd", 0, True)
