"""The command line as a user meets it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medistill
from medistill.cli import COMMANDS, main
from medistill.data.corpus import open_corpus
from medistill.recipe import RECIPES


def call(*arguments: object) -> int:
    """Exit status of a command run in this process."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def one_line(capsys) -> str:
    """What was written to standard error, which must be one line without a traceback."""
    error = capsys.readouterr().err
    lines = [line for line in error.strip().splitlines() if line.startswith("medistill:")]
    assert len(lines) == 1
    assert "Traceback" not in error
    return lines[0]


def write_csv(folder: Path, rows: int = 12) -> Path:
    """A CSV of small noise images, a patient each."""
    random = np.random.default_rng(0)
    lines = ["image,text,patient_id"]
    for i in range(rows):
        Image.fromarray(random.integers(0, 256, (40, 40), dtype=np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,The heart is normal {i},p{i}")
    path = folder / "reports.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_help_names_every_command_without_importing_torch():
    code = "import sys; sys.argv = ['medistill', '--help']; from medistill.cli import main; main(); "
    code += "print('TORCH' if 'torch' in sys.modules or 'tyro' in sys.modules else 'LIGHT')"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(name in out for name in COMMANDS)
    assert "LIGHT" in out


@pytest.mark.parametrize(("own", "spins"), [({}, "1000"), ({"OMP_WAIT_POLICY": "active"}, "None")])
def test_threads_that_wait_leave_the_cores_to_others_unless_told_otherwise(own, spins):
    """Set before torch, and with it OpenMP, is there to read it."""
    code = "import sys, os; sys.argv = ['medistill', '--help']; from medistill.cli import main; main(); "
    code += "print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | own
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert out.stdout.splitlines()[-1] == f"False {spins}"


@pytest.mark.slow
def test_help_answers_in_half_a_second():
    """Of its own work, the best of five, since the machine may be busy with something else."""
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "medistill", "--help"], check=True, capture_output=True)
        after = os.times()
        own = ("children_user", "children_system")
        seconds.append(sum(getattr(after, part) - getattr(before, part) for part in own))
    assert min(seconds) < 0.5


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_with_an_example(command, capsys):
    assert call(command, "--help") == 0
    assert "medistill " + command in capsys.readouterr().out


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_every_recipe_field_is_a_flag(recipe, capsys):
    assert call("train", recipe, "--help") == 0
    out = capsys.readouterr().out
    assert "--micro-per-step" in out
    assert "--image.pretrained" in out


@pytest.mark.parametrize("source", ["phantom", "folder", "csv"])
def test_every_source_has_help(source, capsys):
    assert call("prepare", source, "--help") == 0
    assert "--out" in capsys.readouterr().out


def test_the_version_is_the_package_version(capsys):
    assert call("--version") == 0
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert (
        capsys.readouterr().out.strip()
        == f"medistill {project['version']}"
        == f"medistill {medistill.__version__}"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "no command is called 'trian'"),
        (["train"], "train takes a recipe first"),
        (["train", "huge"], "'huge' is none"),
        (["prepare", "nifti"], "sources: phantom, folder, csv, dicom"),
        (["prepare", "folder", "nowhere", "--out", "x"], "no such folder"),
        (["evaluate", "nowhere", "--data", "nowhere", "--out", "x"], "no such folder"),
        (["train", "small", "--data", "nowhere", "--out", "x"], "no such folder"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    assert said in one_line(capsys)


def test_an_unknown_flag_is_status_2(capsys):
    assert call("train", "small", "--no-such-flag", "1") == 2


def test_csv_problems_are_one_line_each(tmp_path, capsys):
    path = write_csv(tmp_path)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    for arguments, said in (
        ((empty,), "empty"),
        ((path, "--text", "report"), "report"),
        ((path, "--patient-id", "subject"), "--patient-is-study"),
    ):
        assert call("prepare", "csv", *arguments, "--out", tmp_path / "corpus") in (1, 2)
        assert said in one_line(capsys)


def test_prepare_prints_its_card_as_json_alone_on_standard_output(tmp_path, capsys):
    path = write_csv(tmp_path)
    assert call("prepare", "csv", path, "--out", tmp_path / "corpus", "--workers", 1, "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["images"] == 12
    assert open_corpus(tmp_path / "corpus").card == card


def test_train_and_evaluate_by_hand(tiny_corpus, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "evaluation"
    shape = ["--size", 32, "--window", 16, "--epochs", 1, "--min-patients", 1, "--no-augment"]
    assert call("train", "small", "--data", tiny_corpus, "--out", run, *shape, "--json") == 0
    assert "val/loss" in json.loads(capsys.readouterr().out)
    assert call("evaluate", run, "--data", tiny_corpus, "--out", out, "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert {"value", "low", "high", "n_images", "n_patients"} <= set(metrics["retrieval"]["i2t_r@10"])
    page = (out / "page.html").read_text()
    assert "data:image/png" not in page
    assert "Training and few shots" in page
    assert call("evaluate", run, "--data", tiny_corpus, "--out", out, "--with-cases") == 0
    assert "treat it as patient data" in capsys.readouterr().err
    assert "data:image/png" in (out / "page.html").read_text()


def test_models_are_compared_by_one_command(finished, tiny_corpus, tmp_path, capsys):
    """Each is evaluated as it is alone; no file of the comparison names a folder."""
    arguments = ["--data", tiny_corpus, "--out"]
    capsys.readouterr()
    assert call("evaluate", finished, "--against", finished, *arguments, tmp_path / "c", "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told == json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert f"B {finished}" in captured.err
    assert call("evaluate", finished, *arguments, tmp_path / "alone") == 0
    for name in ("metrics.json", "evaluation.json", "page.html"):
        alone = (tmp_path / "alone" / name).read_bytes()
        assert (tmp_path / "c" / "A" / name).read_bytes() == alone
        assert (tmp_path / "c" / "B" / name).read_bytes() == alone
    for name in ("comparison.json", "comparison.html"):
        assert str(tmp_path) not in (tmp_path / "c" / name).read_text()
        assert finished.name not in json.dumps(told["models"])
    by_protocol = [*arguments, tmp_path / "p", "--protocol", "labels"]
    assert call("evaluate", finished, "--against", finished, *by_protocol) == 0
    assert "protocol:labels" in json.loads((tmp_path / "p" / "comparison.json").read_text())["tasks"]


def test_a_rival_that_is_not_there_is_told_before_anything_is_scored(finished, tiny_corpus, tmp_path, capsys):
    capsys.readouterr()
    rest = ["--data", tiny_corpus, "--out", tmp_path / "c"]
    assert call("evaluate", finished, "--against", tmp_path / "nowhere", *rest) == 2
    assert "no model in" in one_line(capsys)
    assert not (tmp_path / "c").exists()
    assert call("evaluate", finished, "--protocol", "labels", "--fine-tune", *rest) == 2
    assert "leave out --split and --fine-tune" in one_line(capsys)


def test_cases_are_shown_on_the_page_of_a_protocol_if_asked_for(finished, tiny_corpus, tmp_path, capsys):
    arguments = ["--data", tiny_corpus, "--out", tmp_path / "e", "--protocol", "labels"]
    assert call("evaluate", finished, *arguments) == 0
    assert "data:image/png" not in (tmp_path / "e" / "page.html").read_text()
    assert call("evaluate", finished, *arguments, "--with-cases") == 0
    assert "treat it as patient data" in capsys.readouterr().err
    assert "data:image/png" in (tmp_path / "e" / "page.html").read_text()


def test_errors_of_a_run_are_one_line(tiny_corpus, tmp_path, capsys):
    shape = ["--size", 32, "--min-patients", 1]
    assert call("train", "small", "--data", tiny_corpus, "--out", tmp_path / "run", *shape) == 2
    assert "largest window is 40" in one_line(capsys)
    assert call("evaluate", tmp_path, "--data", tiny_corpus, "--out", tmp_path / "e") == 2
    assert "no model in" in one_line(capsys)
    card = tiny_corpus / "card.json"
    before = card.read_text()
    card.write_text(json.dumps({**json.loads(before), "format": 9}))
    assert call("evaluate", tmp_path, "--data", tiny_corpus, "--out", tmp_path / "e") == 2
    assert "corpus/card.json is damaged (it does not fit its checksum)" in one_line(capsys)
    card.write_text(before)


@pytest.fixture
def finished(tiny_corpus, tmp_path) -> Path:
    """A run folder that may be damaged."""
    shape = ["--size", 32, "--window", 16, "--epochs", 1, "--min-patients", 1]
    assert call("train", "small", "--data", tiny_corpus, "--out", tmp_path / "run", *shape) == 0
    return tmp_path / "run"


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "model" / "config.json").write_text("{"),
        lambda run: (run / "model" / "config.json").write_text("[]"),
        lambda run: rewrite(run / "model" / "config.json", dim=9),
        lambda run: (run / "model" / "tokenizer.json").write_text("{}"),
        lambda run: (run / "model" / "model.safetensors").write_bytes(b"cut"),
        lambda run: (run / "model" / "model.safetensors").unlink(),
    ],
)
def test_a_damaged_model_is_one_line(finished, tiny_corpus, tmp_path, capsys, damage):
    damage(finished)
    capsys.readouterr()
    assert call("evaluate", finished, "--data", tiny_corpus, "--out", tmp_path / "e") == 2
    assert "damaged" in (line := one_line(capsys)) or "no model in" in line


def test_an_unfinished_last_line_of_metrics_does_not_stop_an_evaluation(finished, tiny_corpus, tmp_path):
    with (finished / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 3, "lo\xff')
    assert call("evaluate", finished, "--data", tiny_corpus, "--out", tmp_path / "e") == 0


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"effusion": 3}', '{"effusion": {"positive": []}}', "\ufffe"]
)
def test_bad_prompts_are_one_line(finished, tiny_corpus, tmp_path, capsys, content):
    prompts = tmp_path / "prompts.json"
    prompts.write_text(content)
    capsys.readouterr()
    arguments = ["--data", tiny_corpus, "--out", tmp_path / "e", "--prompts", prompts]
    assert call("evaluate", finished, *arguments) == 2
    one_line(capsys)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_that_cannot_be_a_folder_is_one_line(finished, tiny_corpus, tmp_path, capsys, place):
    (tmp_path / "file").write_text("x")
    capsys.readouterr()
    assert call("evaluate", finished, "--data", tiny_corpus, "--out", tmp_path / place) in (1, 2)
    one_line(capsys)
    shape = ["--size", 32, "--window", 16, "--min-patients", 1]
    assert call("train", "small", "--data", tiny_corpus, "--out", tmp_path / place, *shape) in (1, 2)
    one_line(capsys)


def test_a_corpus_without_labels_is_evaluated_by_retrieval_alone(tmp_path, capsys):
    path = write_csv(tmp_path, rows=60)
    assert call("prepare", "csv", path, "--out", tmp_path / "corpus", "--workers", 1) == 0
    shape = ["--size", 32, "--window", 16, "--epochs", 1, "--min-patients", 1]
    assert call("train", "small", "--data", tmp_path / "corpus", "--out", tmp_path / "run", *shape) == 0
    capsys.readouterr()
    arguments = ["--data", tmp_path / "corpus", "--out", tmp_path / "e", "--json"]
    assert call("evaluate", tmp_path / "run", *arguments) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"retrieval"}
