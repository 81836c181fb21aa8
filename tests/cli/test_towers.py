"""A tower that does not fit ends `train` with one line and status 2, before anything is trained."""

from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, EfficientNetConfig, EfficientNetModel, T5Config, T5Model

from medistill.cli import main
from tests.conftest import write_noise_corpus
from tests.model.foreign_models import TEXT, save_foreign, tiny_tokenizer

EFFICIENT = EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320)
T5 = T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=200)
TRAINING = "--epochs 1 --window 8 --micro-batch 4 --min-patients 1 --size 32 --channels 3 --max-tokens 16"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise") / "corpus"
    write_noise_corpus(folder)
    return folder


@pytest.fixture
def train(corpus, tmp_path, capsys):
    """Trains with more flags; the status and what was said on standard error."""

    def trained(*flags: str) -> tuple[int, str]:
        out = str(tmp_path / "run")
        try:
            main(["train", "quickstart", "--data", str(corpus), "--out", out, *TRAINING.split(), *flags])
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return trained


def save_bert(folder, **changes):
    BertModel(BertConfig(**{**TEXT, **changes})).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def rename_weights(folder, rename) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {rename(name): tensor for name, tensor in weights.items() if rename(name)}
    save_file(kept, folder / "model.safetensors")


def lines(said: str) -> list[str]:
    """What the command says of its end."""
    return [line for line in said.splitlines() if line.startswith("medistill: ")]


def test_weights_under_a_prefix_are_trained_on_and_the_prefix_is_named(train, tmp_path, caplog):
    folder = save_bert(tmp_path / "bert")
    rename_weights(folder, lambda name: f"bert_model.{name}")
    with caplog.at_level("INFO", "medistill"):
        status, said = train("--text.pretrained", str(folder))
    assert (status, lines(said)) == (0, [])
    assert "took the prefix bert_model. off" in caplog.text


@pytest.mark.parametrize(
    ("rename", "reason"),
    [
        (lambda name: f"unheard.{name}", "lacks"),
        (lambda name: "" if "layer.0.output" in name else name, "lacks 4 weights"),
        (lambda name: name.replace("layer.0", "layer.7"), "lacks"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(train, tmp_path, rename, reason):
    folder = save_bert(tmp_path / "bert")
    rename_weights(folder, rename)
    status, said = train("--text.pretrained", str(folder))
    (line,) = lines(said)
    assert status == 2
    assert reason in line
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--max-tokens", "96"), "at most 16 tokens, texts are cut to 96: set --max-tokens 16"),
        (("--image.pretrained", "clip", "--size", "64"), "set --size 32"),
        (("--image.pretrained", "bert"), "of type bert, which reads input_ids"),
        (("--image.pretrained", "t5"), "of type t5, which reads input_ids"),
    ],
)
def test_towers_that_do_not_fit_the_recipe_are_one_line(train, tmp_path, flags, reason, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_bert(tmp_path / "bert")
    save_foreign(tmp_path / "clip")
    T5Model(T5).save_pretrained(tmp_path / "t5")
    status, said = train("--text.pretrained", "bert", *flags)
    (line,) = lines(said)
    assert status == 2
    assert reason in line


def test_a_folder_with_a_bin_alone_is_trained_on_and_one_that_runs_code_is_one_line(train, tmp_path):
    folder = save_bert(tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, "more": partial(print, "ran")}, folder / "pytorch_model.bin")
    status, said = train("--text.pretrained", str(folder))
    (line,) = lines(said)
    assert status == 2
    assert "pytorch_model.bin asks for functools.partial" in line
    torch.save(weights, folder / "pytorch_model.bin")
    status, said = train("--text.pretrained", str(folder))
    assert (status, lines(said)) == (0, [])


@pytest.mark.parametrize("text", ["clip", "t5"])
@pytest.mark.parametrize("image", ["efficientnet", "clip"])
def test_parts_of_larger_models_are_trained(train, tmp_path, image, text):
    save_foreign(tmp_path / "clip")
    EfficientNetModel(EFFICIENT).save_pretrained(tmp_path / "efficientnet")
    T5Model(T5).save_pretrained(tmp_path / "t5")
    tiny_tokenizer().save_pretrained(tmp_path / "t5")
    status, said = train(
        "--image.pretrained", str(tmp_path / image), "--text.pretrained", str(tmp_path / text)
    )
    assert (status, lines(said)) == (0, [])
