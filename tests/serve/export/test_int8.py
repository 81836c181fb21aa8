"""8-bit graphs: what is quantized, and what the command says of them."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from medistill.cli import main
from medistill.model.any_model import open_model
from medistill.model.saved import load
from tests.serve.export.models import TEXTS, phantoms, saved, vit_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, and an export of both kinds of graphs."""
    home = tmp_path_factory.mktemp("int8")
    model, out = saved(vit_model(), home / "model"), home / "out"
    main(["export", *map(str, [model, "--to", "onnx", "--out", out, "--int8"])])
    account = json.loads((out / "export.json").read_text())
    return SimpleNamespace(model=load(model), folder=model, out=out, account=account)


def test_8_bit_embeddings_are_near_but_not_the_float_ones(home):
    films, small = phantoms(6), open_model(f"onnx:{home.out}:int8")
    for rows, exact in (
        (small.encode_images(films), home.model.encode_images(films)),
        (small.encode_texts(TEXTS), home.model.encode_texts(TEXTS)),
    ):
        assert not np.allclose(rows, exact, atol=1e-4)
        assert (rows * exact).sum(axis=1).min() > 0.95


def test_linear_layers_and_tables_are_quantized_and_convolutions_are_not(home):
    graph = onnx.load(home.out / "image.int8.onnx").graph
    kinds = {node.op_type for node in graph.node}
    assert "MatMulInteger" in kinds
    assert "Conv" in kinds
    assert "ConvInteger" not in kinds
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert onnx.TensorProto.INT8 in weights.values()
    text = onnx.load(home.out / "text.int8.onnx").graph
    tables = [t for t in text.initializer if t.dims[:1] == [home.model.text.config.vocab_size]]
    assert [t.data_type for t in tables] == [onnx.TensorProto.UINT8]


def test_the_account_has_files_and_their_sizes_and_no_figures(home):
    small = home.account["int8"]
    assert sorted(small) == ["bytes", "files", "operators", "weights"]
    for kind, files in (("float", home.account["files"]), ("int8", small["files"])):
        assert small["bytes"][kind] == sum((home.out / name).stat().st_size for name in files.values())


def test_weights_beside_the_graphs_are_quantized_and_counted(home, tmp_path, monkeypatch):
    monkeypatch.setattr("medistill.serve.export.onnx.LARGEST", 1000)
    main(["export", *map(str, [home.folder, "--to", "onnx", "--out", tmp_path / "out", "--int8"])])
    sizes = json.loads((tmp_path / "out" / "export.json").read_text())["int8"]["bytes"]
    files = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert sizes["float"] == sum(
        size for name, size in files.items() if name.endswith((".onnx", ".data")) and "int8" not in name
    )
    assert sizes["int8"] == sum(size for name, size in files.items() if "int8" in name)
    small, same = open_model(f"onnx:{tmp_path / 'out'}:int8"), open_model(f"onnx:{home.out}:int8")
    assert (small.encode_images(phantoms()) - same.encode_images(phantoms())).abs().max() < 1e-6


def test_the_command_says_how_to_measure_what_8_bits_lose(home, tmp_path, capsys):
    flags = ["--int8", "--data", "my corpus", "--split", "val", "--prompts", "prompts.json"]
    main(["export", *map(str, [home.folder, "--to", "onnx", "--out", tmp_path / "out", *flags])])
    said = capsys.readouterr().err
    call = f"medistill evaluate {home.folder} --against onnx:{tmp_path / 'out'}:int8"
    assert f"{call} --data 'my corpus' --split val --prompts prompts.json --out comparison" in said
