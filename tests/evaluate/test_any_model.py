"""The command and the library evaluate anybody's model, and say what it saw."""

import json

import numpy as np
import pytest
import torch

from medistill.cli import main
from medistill.data.corpus import open_corpus
from medistill.errors import CallError, MedistillError
from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.statistics.interval import TOO_FEW
from medistill.model.any_model import open_model
from medistill.model.embedder import UnitEmbedder
from medistill.model.fingerprint import model_hash
from medistill.model.saved import save_model
from medistill.system.json_files import canonical_json
from tests.conftest import tiny_model
from tests.model.foreign_models import rewrite, save_foreign
from tests.planted import phantom_corpus


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return phantom_corpus(tmp_path_factory.mktemp("phantoms") / "corpus", count=60)


def evaluated(model, corpus, out):
    """The figures and what evaluation.json states, by the command."""
    main(["evaluate", str(model), "--data", str(corpus), "--out", str(out)])
    return tuple(json.loads((out / name).read_text()) for name in ("metrics.json", "evaluation.json"))


@pytest.mark.parametrize("kind", ["clip", "siglip", "dual"])
def test_a_model_of_transformers_is_evaluated_by_the_command(phantoms, tmp_path, kind):
    folder = save_foreign(tmp_path / kind, kind)
    metrics, stated = evaluated(f"hf:{folder}", phantoms, tmp_path / "out")
    assert {"zero_shot", "retrieval"} <= set(metrics)
    assert stated["model_sha256"] == model_hash(open_model(f"hf:{folder}"))
    told = stated["preprocessing"]
    assert told["by"].startswith("transformers")
    assert (told["channels"], told["max_tokens"]) == (3, 16)
    assert told["by"] in (tmp_path / "out" / "page.html").read_text()


def test_our_own_model_says_what_its_images_go_through(phantoms, tmp_path):
    save_model(tiny_model(), tmp_path / "model")
    _, stated = evaluated(tmp_path / "model", phantoms, tmp_path / "out")
    told = stated["preprocessing"]
    assert (told["by"], told["resize"], told["channels"]) == ("medistill", 32, 1)


def test_our_own_model_is_compared_with_one_that_cannot_point(phantoms, tmp_path):
    """It has no maps of phrases: its grounding stands there with the reason, all else is paired."""
    save_model(tiny_model(), tmp_path / "model")
    folder, out = save_foreign(tmp_path / "clip"), tmp_path / "out"
    models = [str(tmp_path / "model"), "--against", f"hf:{folder}"]
    main(["evaluate", *models, "--data", str(phantoms), "--out", str(out)])
    told = json.loads((out / "comparison.json").read_text())
    assert [about["name"] for about in told["models"].values()] == ["a model folder", "hf"]
    for task, entries in told["tasks"].items():
        for name, figure in entries.items():
            entry = figure["differences"]["B"]
            if task == "grounding":
                assert "gives no map" in entry["reason"] or "no such figure" in entry["reason"], name
            elif figure["values"]["A"]["value"] is not None:
                few = entry["low"] is None and TOO_FEW in entry["reason"]
                assert few or entry["low"] <= entry["value"] <= entry["high"], name
    shown = (out / "comparison.html").read_text()
    assert "the model gives no map of a phrase over an image" in shown
    assert str(tmp_path) not in shown


@pytest.mark.parametrize("changes", [{"image_mean": [0.1] * 3}, {"size": {"shortest_edge": 60}}])
def test_other_preprocessing_gives_other_figures(phantoms, tmp_path, changes):
    folder = save_foreign(tmp_path / "clip")
    before, _ = evaluated(f"hf:{folder}", phantoms, tmp_path / "before")
    rewrite(folder / "preprocessor_config.json", **changes)
    after, _ = evaluated(f"hf:{folder}", phantoms, tmp_path / "after")
    assert before != after


def test_the_figures_are_those_of_the_same_model_in_the_library(phantoms, tmp_path):
    folder = save_foreign(tmp_path / "clip")
    by_command, _ = evaluated(f"hf:{folder}", phantoms, tmp_path / "out")
    in_library = evaluate_model(open_model(f"hf:{folder}"), open_corpus(phantoms))
    assert json.loads(canonical_json(in_library.metrics)) == by_command


@pytest.mark.parametrize("name", ["hf:nowhere/", "hf:./nowhere", "open_clip:", "hf:"])
def test_a_name_that_is_no_model_is_one_line(phantoms, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit) as end:
        evaluated(name, phantoms, tmp_path / "out")
    assert end.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(said) == 1
    assert said[0].startswith("medistill: ")


class Stated:
    """A user's own object, with what its two methods give."""

    def __init__(self, images, texts):
        self.images, self.texts = images, texts

    def encode_images(self, images):
        return self.images(len(images))

    def encode_texts(self, texts):
        return self.texts(len(texts))


class Unscaled:
    """`model` without its scale, its rows changed."""

    def __init__(self, model, change):
        self.model, self.change = model, change

    def encode_images(self, images):
        return self.change(self.model.encode_images(images))

    def encode_texts(self, texts):
        return self.change(self.model.encode_texts(texts))


@pytest.fixture(scope="module")
def plain(unchanged, knowing):
    return canonical_json(evaluate_model(knowing, unchanged, resamples=20, draws=2).metrics)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows,
        lambda rows: rows * np.linspace(0.2, 9, len(rows))[:, None],
        lambda rows: torch.from_numpy(3.0 * rows).double().requires_grad_(),
        lambda rows: (2 * rows).tolist(),
    ],
)
def test_rows_of_any_norm_in_numpy_or_torch_give_the_same_figures(unchanged, knowing, plain, change):
    changed = evaluate_model(Unscaled(knowing, change), unchanged, resamples=20, draws=2)
    assert canonical_json(changed.metrics) == plain


def test_a_model_that_states_no_scale_is_said_to(corpus, knowing):
    del corpus.rows["val"], corpus.rows["train"]
    found = evaluate_model(Unscaled(knowing, lambda rows: rows), corpus, resamples=20)
    assert "the model states none" in found.protocol["calibration"]
    assert found.protocol["slope"] == 1.0
    assert found.protocol["preprocessing"] is None


def test_a_row_of_zeros_is_like_nothing():
    model = UnitEmbedder(Stated(lambda n: np.zeros((n, 4)), lambda n: np.ones((n, 4))))
    assert (model.encode_images([0, 1]) == 0).all()


def test_what_is_no_mapping_is_not_taken_for_preprocessing():
    model = Stated(lambda n: np.ones((n, 4)), lambda n: np.ones((n, 4)))
    for told, stated in ((print, None), ({"size": print}, None), ({"size": (8, 8)}, {"size": [8, 8]})):
        model.preprocessing = told
        assert UnitEmbedder(model).preprocessing == stated


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (lambda n: np.ones((n - 1, 4)), r"encode_images gave an array of shape \(2, 4\) for 3 items"),
        (lambda n: np.ones(n), r"shape \(3,\) for 3 items, expected \(3, width\)"),
        (lambda n: np.ones((n, 0)), r"shape \(3, 0\)"),
        (lambda n: np.ones((n, 5)), "encode_texts gives rows of width 4, encode_images gave 5"),
        (lambda n: [[1.0], [1.0, 2.0], [1.0]], "a list that is no array of numbers"),
        (lambda n: None, "encode_images gave"),
        (lambda n: np.full((n, 4), np.nan), "NaN or infinity in 3 of 3 rows"),
        (lambda n: torch.full((n, 4), torch.inf), "NaN or infinity in 3 of 3 rows"),
    ],
)
def test_wrong_rows_are_one_clear_line(rows, said):
    model = UnitEmbedder(Stated(rows, lambda n: np.ones((n, 4))))
    with pytest.raises(MedistillError, match=said) as error:
        model.encode_images([0, 1, 2])
        model.encode_texts(["a"])
    assert "\n" not in str(error.value)


def test_an_object_without_the_methods_is_refused():
    with pytest.raises(CallError, match="a dict has no method encode_images and no encode_texts"):
        UnitEmbedder({})


def test_a_scale_that_is_no_number_is_refused():
    model = Stated(lambda n: np.ones((n, 4)), lambda n: np.ones((n, 4)))
    model.scale = "large"
    with pytest.raises(CallError, match="the scale of a Stated is a str"):
        _ = UnitEmbedder(model).scale
