"""The command: what it refuses before it does anything, and what it leaves behind."""

import json

import pytest

from medistill.cli import main
from tests.conftest import tiny_model
from tests.serve.export.models import saved, vit_model


def refused(capsys, *arguments):
    """The one line on standard error of a call that is wrong."""
    with pytest.raises(SystemExit) as stopped:
        main(["export", *map(str, arguments)])
    assert stopped.value.code == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line
    return line


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(vit_model(), tmp_path_factory.mktemp("model") / "model")


@pytest.mark.parametrize("name", ["hf:owner/name", "open_clip:ViT-B-32:openai", "onnx:exported:int8"])
@pytest.mark.parametrize("to", ["onnx", "hub", "open_clip"])
def test_models_of_other_libraries_are_left_to_their_own_tools(capsys, tmp_path, name, to):
    assert "model of another library" in refused(capsys, name, "--to", to, "--out", tmp_path / "out")


def test_a_corpus_to_measure_8_bits_on_goes_with_8_bits(capsys, model, tmp_path):
    said = refused(capsys, model, "--to", "onnx", "--out", tmp_path / "out", "--data", tmp_path)
    assert "--data goes with --int8" in said


def test_8_bits_are_for_onnx_alone(capsys, model, tmp_path):
    said = refused(capsys, model, "--to", "hub", "--out", tmp_path / "out", "--int8")
    assert "--int8 goes with --to onnx" in said


def test_a_folder_that_is_there_is_left_alone(capsys, model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert "is there already" in refused(capsys, model, "--to", "hub", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "mine").is_file()


def test_a_folder_without_a_model_is_refused(capsys, tmp_path):
    assert "no model in" in refused(capsys, tmp_path, "--to", "hub", "--out", tmp_path / "out")


def test_json_on_standard_output_is_the_account_in_the_folder(capsys, model, tmp_path):
    main(["export", str(model), "--to", "hub", "--out", str(tmp_path / "out"), "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads((tmp_path / "out" / "export.json").read_text())
    assert "largest difference" in said.err


def test_what_a_killed_call_left_is_taken_away(model, tmp_path):
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "half.safetensors").touch()
    main(["export", str(model), "--to", "hub", "--out", str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out" / "half.safetensors").exists()


def test_a_missing_package_is_one_line_that_names_the_extra(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    folder = saved(tiny_model(), tmp_path / "model")
    said = refused(capsys, folder, "--to", "onnx", "--out", tmp_path / "out")
    assert "pip install 'medistill[export]'" in said
    assert not (tmp_path / "out").exists()
