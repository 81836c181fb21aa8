"""8-bit graphs: what is quantized, and that what they lose is measured and told."""

import json
import math
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from medistill.cli import main
from medistill.data.corpus import open_corpus
from medistill.errors import CallError
from medistill.evaluate.evaluation import evaluate_model
from medistill.model.saved import load
from medistill.serve.export.onnx import int8
from medistill.serve.export.onnx.model import OnnxModel
from tests.planted import phantom_corpus, planted
from tests.serve.export.models import phantoms, saved, vit_model

pytestmark = pytest.mark.slow
PROMPTS = {"edema": {"positive": ["heart"], "negative": ["lung"]}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, a corpus of phantoms and an export of both kinds of graphs."""
    home = tmp_path_factory.mktemp("int8")
    corpus = phantom_corpus(home / "corpus", count=80)
    model = saved(vit_model(), home / "model")
    out, prompts = home / "out", home / "prompts.json"
    prompts.write_text(json.dumps(PROMPTS))
    given = ["--int8", "--data", corpus, "--prompts", prompts]
    main(["export", *map(str, [model, "--to", "onnx", "--out", out, *given])])
    told = json.loads((out / "export.json").read_text())
    return SimpleNamespace(corpus=corpus, model=load(model), out=out, told=told)


def test_the_figures_of_the_float_graphs_are_those_of_evaluation(home):
    assert home.told["int8"]["measured_on"]["prompts"]["edema"] == PROMPTS["edema"]
    metrics = evaluate_model(home.model, open_corpus(home.corpus), prompts=PROMPTS).metrics
    figures = home.told["int8"]["figures"]["float"]
    for task, name in (("zero_shot", "auroc_macro"), ("retrieval", "i2t_r@10"), ("retrieval", "t2i_r@1")):
        for part in ("value", "low", "high"):
            assert figures[name][part] == pytest.approx(metrics[task][name][part], abs=2e-3)
        assert figures[name]["n_patients"] == metrics[task][name]["n_patients"]


def test_the_difference_is_paired_and_is_that_of_the_figures(home):
    told = home.told["int8"]
    for name, less in told["int8_less_float"].items():
        one, other = (told["figures"][kind][name] for kind in ("int8", "float"))
        if one["value"] is not None and other["value"] is not None:
            assert less["value"] == pytest.approx(one["value"] - other["value"], abs=2e-6)
            assert less["low"] <= less["value"] <= less["high"]
    widths = [
        entry["high"] - entry["low"]
        for entry in (
            told["int8_less_float"]["auroc_macro"],
            *(f["auroc_macro"] for f in told["figures"].values()),
        )
    ]
    assert widths[0] < math.hypot(*widths[1:])  # what it would be of two groups of patients


def test_8_bit_embeddings_are_near_but_not_the_float_ones(home):
    films, texts = phantoms(6), ["heart size is normal", "effusion"]
    float_, small = OnnxModel(home.out), OnnxModel(home.out, int8=True)
    for found, exact in (
        (small.encode_images(films), float_.encode_images(films)),
        (small.encode_texts(texts), float_.encode_texts(texts)),
    ):
        assert not np.allclose(found, exact, atol=1e-4)
        assert (found * exact).sum(axis=1).min() > 0.95


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


def test_sizes_are_those_of_the_files_and_times_are_there(home):
    told = home.told["int8"]
    for kind, files in (("float", home.told["files"]), ("int8", told["files"])):
        assert told["bytes"][kind] == sum((home.out / name).stat().st_size for name in files.values())
    for what in ("images", "texts"):
        taken = told["speed"][what]
        assert taken["ratio"] == pytest.approx(taken["float"] / taken["int8"], rel=0.05)


def test_a_corpus_without_labels_cannot_tell_the_loss(home, tmp_path):
    def unlabeled(rows):
        for row in rows:
            row["labels"] = dict.fromkeys(row["labels"])

    corpus = planted(home.corpus, tmp_path / "unlabeled", unlabeled)
    with pytest.raises(CallError, match="needs a labeled corpus"):
        int8._measured_on(corpus, "test", None)
