"""Whole runs with locked towers: the features are kept, found again, and never those of another tower."""

import dataclasses
import logging
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
import torch

import medistill
from medistill.data.corpus import open_corpus
from medistill.data.loader.wording import wordings
from medistill.engine.checkpoint import load_checkpoint
from medistill.engine.features import FOLDER, Revisited, keep_features
from medistill.engine.optimizer import make_fabric
from medistill.errors import CallError
from medistill.model.start import start_model
from medistill.pretrain import pretrain
from medistill.recipe import Encoder
from medistill.serve.index.embed import embed
from tests.conftest import tiny_model, tiny_recipe, write_noise_corpus
from tests.test_pretrain import BrokenOff, assert_same_weights, break_off_after, silent


def locked_recipe(*towers: str, **changes):
    """With dropout in the text tower, a short last window, augmentation asked for."""
    tiny = tiny_recipe()
    text = Encoder(type="bert", config={**tiny.text.config, "hidden_dropout_prob": 0.1})
    values = {
        "window": 12,
        "micro_batch": 5,
        "checkpoint_seconds": 0.0,
        "log_every": 1,
        "epochs": 1,
        "text": text,
    }
    recipe = tiny_recipe(**{**values, **changes})
    own = {name: dataclasses.replace(getattr(recipe, name), locked=True) for name in towers}
    return dataclasses.replace(recipe, **own)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """One of its own: runs leave features in it."""
    out = tmp_path_factory.mktemp("locked") / "corpus"
    write_noise_corpus(out)
    return out


@pytest.fixture
def fresh(corpus, tmp_path):
    """A copy without features."""
    shutil.copytree(corpus, tmp_path / "corpus", ignore=shutil.ignore_patterns(FOLDER))
    return tmp_path / "corpus"


@pytest.fixture(scope="module")
def both(corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("locked") / "run"
    pretrain(locked_recipe("image", "text"), corpus, run, watch=silent)
    return run


def student(run):
    return load_checkpoint(run / "checkpoints")["student"]


def kept(corpus):
    return sorted(path.name for path in (corpus / FOLDER).glob("*.npy"))


@pytest.mark.parametrize("towers", [("image",), ("image", "text")])
def test_locked_towers_train_as_those_whose_weights_are_left_alone(fresh, tmp_path, towers, monkeypatch):
    recipe = locked_recipe(*towers, text=tiny_recipe().text)
    pretrain(recipe, fresh, tmp_path / "locked", watch=silent)

    def frozen(*given):
        model = start_model(*given)
        for name in towers:
            getattr(model, name).requires_grad_(False)
        return model

    monkeypatch.setattr("medistill.pretrain.start_model", frozen)
    pretrain(locked_recipe(text=recipe.text), fresh, tmp_path / "frozen", watch=silent)
    found, expected = student(tmp_path / "locked"), student(tmp_path / "frozen")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    start = start_model(recipe, open_corpus(fresh).split("train").texts, ["p"] * 40).state_dict()
    assert not torch.allclose(found["image_projection.weight"], start["image_projection.weight"])


def test_features_are_computed_once_and_nothing_is_decoded_again(corpus, both, tmp_path, monkeypatch):
    assert [name.split("-")[0] for name in kept(corpus)] == ["image", "text"]
    read, tokenized = [], []
    image, row = medistill.data.corpus.Rows.image, medistill.data.corpus.Rows.decoded
    monkeypatch.setattr("medistill.data.corpus.Rows.image", lambda rows, i: read.append(i) or image(rows, i))
    monkeypatch.setattr("medistill.data.corpus.Rows.decoded", lambda rows, i: read.append(i) or row(rows, i))
    monkeypatch.setattr("medistill.pretrain.tokenize", lambda *given, **_: tokenized.append(given))
    stamps = [(corpus / FOLDER / name).stat().st_mtime_ns for name in kept(corpus)]
    pretrain(locked_recipe("image", "text"), corpus, tmp_path / "again", watch=silent)
    assert len(read) == 10  # to validate on
    assert not tokenized
    assert [(corpus / FOLDER / name).stat().st_mtime_ns for name in kept(corpus)] == stamps
    assert_same_weights(both, tmp_path / "again")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_with_kept_features_goes_on_to_the_same_bits(corpus, both, tmp_path, workers):
    recipe = locked_recipe("image", "text", workers=workers)
    with pytest.raises(BrokenOff):
        pretrain(recipe, corpus, tmp_path / "run", watch=break_off_after(2))
    shutil.rmtree(corpus / FOLDER)  # nothing but time is lost
    pretrain(recipe, corpus, tmp_path / "run", watch=silent)
    assert_same_weights(both, tmp_path / "run")


def test_a_run_does_not_go_on_with_the_features_of_another_tower(fresh, tmp_path):
    with pytest.raises(BrokenOff):
        first = locked_recipe("image", init=str(saved(tmp_path, 0)))
        pretrain(first, fresh, tmp_path / "run", watch=break_off_after(2))
    with pytest.raises(CallError, match="another locked image tower"):
        pretrain(locked_recipe("image", init=str(saved(tmp_path, 1))), fresh, tmp_path / "run", watch=silent)


def saved(home, seed):
    """The same folder, at another time with other weights."""
    model = tiny_model(locked_recipe(), seed=seed)
    medistill.model.saved.save_model(model, home / "model")
    return home / "model"


def test_features_of_another_tower_size_or_tokenizer_are_not_taken(fresh):
    fabric = make_fabric("32")
    rows = open_corpus(fresh).split("train")

    def features(fabric=fabric, seed=0, **changes):
        model = tiny_model(locked_recipe("image", "text", **changes), seed=seed)
        given = {"texts": rows.texts, "fabric": fabric, "bar": nullcontext}
        keep_features(model, rows, **given)
        return keep_features(model, rows, **given)  # the same, though its tokenizer has been used by now

    first = features()
    assert len(kept(fresh)) == 2
    features()
    assert len(kept(fresh)) == 2
    other = features(seed=1)
    assert len(kept(fresh)) == 4
    assert not np.allclose(other.image, first.image)
    for count, change in (
        (5, {"size": 64}),
        (6, {"mean": 0.4}),
        (7, {"max_tokens": 8}),
        (8, {"image": Encoder(type="resnet", config={**tiny_recipe().image.config, "hidden_act": "gelu"})}),
    ):
        features(**change)
        assert len(kept(fresh)) == count, change
    features(fabric=make_fabric("bf16"))
    assert len(kept(fresh)) == 10


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "without checksums"])
def test_damaged_features_are_made_anew_with_one_line(corpus, both, tmp_path, damage, caplog, monkeypatch):
    fresh = shutil.copytree(corpus, tmp_path / "corpus")
    path = next((fresh / FOLDER).glob("image-*.npy"))
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-4])
    elif damage == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "foreign":
        shutil.copy(next((fresh / FOLDER).glob("text-*.npy")), path)
    else:
        (fresh / FOLDER / "checksums.json").unlink()
        monkeypatch.setattr("medistill.system.checksums._fitting", set())  # as in another process
    pretrain(locked_recipe("image", "text"), fresh, tmp_path / "second", watch=silent)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == (2 if damage == "without checksums" else 1)
    assert "computed anew" in said[0]
    assert str(fresh) not in said[0]
    assert path.read_bytes() == content
    assert_same_weights(both, tmp_path / "second")


def test_where_nothing_can_be_kept_each_window_computes_its_own_of_plain_images(
    fresh, both, tmp_path, caplog
):
    (fresh / FOLDER).write_text("in the way")
    pretrain(locked_recipe("image", "text", augment=True), fresh, tmp_path / "run", watch=silent)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert all("cannot be kept" in line for line in said)
    torch.testing.assert_close(student(tmp_path / "run"), student(both), rtol=1e-5, atol=1e-6)


def test_texts_drawn_anew_each_epoch_are_left_to_the_windows(fresh, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    rows = open_corpus(fresh).split("train")
    recipe = locked_recipe("text", text_part="sentences")
    texts = wordings(rows, recipe.section, seed=0, part=recipe.text_part).fixed
    model = tiny_model(recipe)
    assert keep_features(model, rows, texts, fabric=make_fabric("32"), bar=nullcontext).text is None
    assert kept(fresh) == []
    assert "window by window" in caplog.text
    pretrain(recipe, fresh, tmp_path / "run", watch=silent)
    assert kept(fresh) == []


def test_augmentation_says_that_it_cannot_act_on_a_locked_tower(fresh, both, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    pretrain(locked_recipe("image", "text", augment=True), fresh, tmp_path / "run", watch=silent)
    assert caplog.text.count("images are not augmented") == 1
    torch.testing.assert_close(student(tmp_path / "run"), student(both), rtol=0, atol=0)


def test_the_delivered_model_embeds_as_any_other(corpus, both, tmp_path):
    model = medistill.load(both)
    assert not (model.image.locked or model.text.locked)
    teacher = load_checkpoint(both / "checkpoints")["method"]["teacher"]
    assert torch.equal(
        model.state_dict()["image.backbone.embedder.embedder.convolution.weight"],
        teacher["image.backbone.embedder.embedder.convolution.weight"],
    )
    record = embed(str(both), corpus, tmp_path / "table.arrow", device="cpu")
    assert record["images"] == 60


def test_what_a_locked_tower_makes_of_validation_pairs_is_computed_once(monkeypatch):
    model = tiny_model(locked_recipe("image", "text")).eval()
    random = np.random.default_rng(0)
    squares = [random.integers(0, 256, (32, 32), dtype=np.uint8) for _ in range(70)]
    texts = [f"heart {i}" for i in range(70)]
    pairs = Revisited(squares, texts)
    images, rows = pairs.embedded_by(model)
    torch.testing.assert_close(images, model.encode_images(squares))
    torch.testing.assert_close(rows, model.encode_texts(texts))
    monkeypatch.setattr("medistill.model.encoder.ImageTower.lower", None)
    monkeypatch.setattr("medistill.model.encoder.TextTower.lower", None)
    assert torch.equal(pairs.embedded_by(model)[0], images)
