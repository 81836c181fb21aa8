"""ONNX exports: the same embeddings under onnxruntime alone, whole or refused."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch

from medistill.cli import main
from medistill.errors import MedistillError
from medistill.model.any_model import open_model
from medistill.model.foreign.onnx import OnnxGraphs
from medistill.model.saved import load
from medistill.recipe import Encoder
from medistill.serve.export import onnx as export_of_onnx
from medistill.serve.export.export import export
from tests.conftest import tiny_model, tiny_recipe
from tests.serve.export.models import (
    BERT,
    TEXTS,
    apart,
    given_to,
    phantoms,
    real_films,
    run_without_medistill,
    saved,
    vit_model,
)

USE = """
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer

folder, given = Path(sys.argv[1]), Path(sys.argv[2])
told = json.loads((folder / "export.json").read_text())
side = told["preprocessing"]["resize"]


def letterbox(path):
    film = Image.open(path).convert("L")
    scale = side / max(film.size)
    width, height = (max(1, int(length * scale + 0.5)) for length in film.size)
    square = Image.new("L", (side, side))
    fitted = film.resize((width, height), Image.Resampling.BICUBIC)
    square.paste(fitted, ((side - width) // 2, (side - height) // 2))
    return np.array(square)


def embedded(tower, inputs):
    return onnxruntime.InferenceSession(folder / told["files"][tower]).run(None, inputs)[0].tolist()


squares = np.stack([letterbox(path) for path in sorted(given.glob("*.png"))])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
rows = tokenizer.encode_batch(json.loads((given / "texts.json").read_text()))
tokens = {
    "input_ids": np.array([row.ids for row in rows]),
    "attention_mask": np.array([row.attention_mask for row in rows]),
}
assert "torch" not in sys.modules
print(json.dumps({"image": embedded("image", {"images": squares}), "text": embedded("text", tokens)}))
"""
pytestmark = pytest.mark.slow
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}


def built(kind):
    """The towers and poolings of our recipes, and a RoBERTa, which numbers its places otherwise."""
    if kind == "resnet":
        image = Encoder(type="resnet", config={**RESNET, "downsample_in_first_stage": True})
        return tiny_model(tiny_recipe(image=image, channels=3)).eval()
    if kind == "roberta":
        text = Encoder(type="roberta", config={**BERT, "max_position_embeddings": 24})
        return vit_model("mean", text=text)
    return vit_model(kind)


@pytest.fixture(scope="module", params=["resnet", "cls", "mean", "roberta"])
def exported(request, tmp_path_factory):
    """(our model, its export)."""
    home = tmp_path_factory.mktemp("onnx")
    folder = saved(built(request.param), home / "model")
    main(["export", str(folder), "--to", "onnx", "--out", str(home / "onnx")])
    return load(folder), home / "onnx"


def test_films_and_texts_give_the_same_embeddings_without_medistill_and_torch(exported, tmp_path):
    model, folder = exported
    films = [*phantoms(3), phantoms(4)[3][10:60], phantoms(5)[4][:, 30:61]]
    found = run_without_medistill(USE, folder, given_to(tmp_path / "given", films))
    assert apart(found["image"], model.encode_images(films)) < 1e-5
    assert apart(found["text"], model.encode_texts(TEXTS)) < 1e-5


@pytest.mark.real
def test_32_real_radiographs_give_the_same_embeddings(exported, tmp_path):
    model, folder = exported
    films = real_films(32)
    found = run_without_medistill(USE, folder, given_to(tmp_path / "given", films))
    assert apart(found["image"], model.encode_images(films)) < 1e-4


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_films_and_any_length_of_text_fit(exported, count):
    model, folder = exported
    graphs = open_model(f"onnx:{folder}")
    films, texts = phantoms(count), [" ".join(["heart", "lung"] * 30)] * count
    assert apart(graphs.encode_images(films), model.encode_images(films)) < 1e-5
    assert apart(graphs.encode_texts(texts), model.encode_texts(texts)) < 1e-5
    assert apart(graphs.encode_texts(["heart"] * count), model.encode_texts(["heart"] * count)) < 1e-5


def test_the_account_says_how_to_call_the_graphs(exported):
    model, folder = exported
    told = json.loads((folder / "export.json").read_text())
    graph = onnx.load(folder / told["files"]["image"]).graph
    assert [node.name for node in graph.input] == [told["images"]["input"]]
    assert [node.name for node in graph.output] == [told["images"]["output"]]
    assert told["preprocessing"]["resize"] == model.size
    assert told["checked"]["largest_difference"] < 1e-5
    assert sorted(p.name for p in folder.iterdir()) == [
        "checksums.json",
        "export.json",
        "image.onnx",
        "text.onnx",
        "tokenizer.json",
    ]


def test_the_check_finds_a_graph_of_other_weights(exported, tmp_path):
    model, folder = exported
    other = tiny_model(tiny_recipe(dim=model.dim), seed=5) if model.size == 32 else vit_model(seed=5)
    graphs = OnnxGraphs(folder)
    assert export_of_onnx._largest_difference(model, graphs) < 1e-5
    assert export_of_onnx._largest_difference(other.eval(), graphs) > 1e-3


def test_graphs_that_embed_otherwise_are_refused_and_leave_nothing(tmp_path, monkeypatch):
    folder = saved(tiny_model(), tmp_path / "model")
    traced = export_of_onnx._Images.forward
    monkeypatch.setattr(export_of_onnx._Images, "forward", lambda self, images: -traced(self, images))
    with pytest.raises(MedistillError, match="ONNX graphs differ from the model by"):
        export(str(folder), "onnx", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_weights_too_large_for_one_file_lie_beside_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(export_of_onnx, "LARGEST", 1000)
    folder = saved(tiny_model(), tmp_path / "model")
    export(str(folder), "onnx", tmp_path / "out")
    assert (tmp_path / "out" / "image.onnx.data").is_file()
    shutil.move(tmp_path / "out", tmp_path / "moved")
    model = load(folder)
    moved = open_model(f"onnx:{tmp_path / 'moved'}")
    assert apart(moved.encode_images(phantoms()), model.encode_images(phantoms())) < 1e-5


def test_a_difference_that_is_no_number_counts_as_infinite():
    found = export_of_onnx._apart(np.array([[np.nan, 0.0]], np.float32), torch.zeros(1, 2))
    assert found == float("inf")


def test_a_gated_head_is_in_the_graphs(tmp_path):
    model = vit_model(head="gated")
    export(str(saved(model, tmp_path / "model")), "onnx", tmp_path / "out")
    graphs = open_model(f"onnx:{tmp_path / 'out'}")
    assert apart(graphs.encode_images(phantoms()), model.encode_images(phantoms())) < 1e-5
    assert apart(graphs.encode_texts(TEXTS), model.encode_texts(TEXTS)) < 1e-5
