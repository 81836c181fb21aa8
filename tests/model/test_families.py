"""Every family of towers: as plain transformers has it, trained, gone on with, exported."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import medistill
from medistill.engine.checkpoint import load_checkpoint, save_checkpoint
from medistill.model.dual import build_model
from medistill.model.saved import load, save_model
from medistill.model.towers.build import build_image_tower, build_text_tower
from medistill.pretrain import pretrain
from medistill.recipe import Encoder, Recipe
from medistill.serve.export.export import export
from tests.conftest import tiny_recipe, tiny_texts
from tests.model.families import IMAGES, TEXTS, save_family
from tests.test_pretrain import BrokenOff, assert_same_weights, break_off_after, silent

PAIRS = list(itertools.zip_longest(IMAGES, TEXTS, fillvalue="bert"))
"""Each family once, beside one of the other side."""
GRAPHS = [
    ("dinov2", "sentence"),
    ("dinov2_with_registers", "distilbert"),
    ("dinov3_vit", "mpnet"),
    ("swin", "modernbert"),
    ("convnext", "clip_text"),
    ("siglip_vision", "roberta"),
]
"""Those that tests/serve/export does not turn into graphs: ViT, ResNet and BERT are there."""
PREFIX = {"vit": 1, "dinov2": 1, "dinov2_with_registers": 4, "dinov3_vit": 4}
"""Class and register tokens before those of the places."""


def recipe_of(folder: Path, image: str, text: str, **changes) -> Recipe:
    """Both towers from folders that are made on the spot."""
    for name in (image, text):
        save_family(folder / name, name)
    towers = {
        "image": Encoder(type="", pretrained=str(folder / image)),
        "text": Encoder(type="", pretrained=str(folder / text)),
    }
    return tiny_recipe(**towers, channels=3, **changes)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_image_tower_gives_what_plain_transformers_gives(tmp_path, name, pooling):
    network = save_family(tmp_path, name)
    encoder = Encoder(type="", pretrained=str(tmp_path), pooling=pooling)
    tower = build_image_tower(encoder, size=32, channels=3).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    features = network(pixel_values=images).last_hidden_state
    if features.ndim == 4:
        expected = features.flatten(2).mean(dim=2)
    elif pooling == "cls" and name in PREFIX:
        expected = features[:, 0]
    else:
        expected = features[:, PREFIX.get(name, 0) :].mean(dim=1)
    torch.testing.assert_close(tower(images), expected)
    assert tower.width == 16


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_tower_gives_what_plain_transformers_gives(tmp_path, name, pooling):
    network = save_family(tmp_path, name)
    encoder = Encoder(type="", pretrained=str(tmp_path), pooling=pooling)
    tower = build_text_tower(encoder, vocabulary=0, pad=0, max_tokens=16, tokens=50).eval()
    tokens = torch.tensor([[2, 17, 33, 41, 3], [2, 25, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    features = network(input_ids=tokens, attention_mask=mask).last_hidden_state
    if name == "sentence":
        expected = F.normalize(features[:, 0])
    elif pooling == "cls" and name != "clip_text":
        expected = features[:, 0]
    else:
        expected = torch.stack([features[0].mean(dim=0), features[1, :3].mean(dim=0)])
    torch.testing.assert_close(tower(tokens, mask.bool()), expected)


@pytest.mark.parametrize(("image", "text"), PAIRS)
def test_every_weight_that_is_trained_gets_a_gradient(tmp_path, image, text):
    """Others would stop a run on several ranks."""
    recipe = recipe_of(tmp_path, image, text)
    model = build_model(recipe, tiny_texts(20), [str(i) for i in range(20)])
    model.image(torch.rand(2, 3, 32, 32)).square().sum().backward()
    model.text(torch.arange(5, 13)[None], torch.ones(1, 8, dtype=torch.bool))[:, 0].sum().backward()
    towers = (model.image, model.text)
    trained = [(name, p) for tower in towers for name, p in tower.named_parameters() if p.requires_grad]
    assert [name for name, p in trained if p.grad is None] == []


@pytest.mark.slow
@pytest.mark.parametrize(("image", "text"), PAIRS)
def test_a_family_is_trained_gone_on_with_and_opened(tiny_corpus, tmp_path, image, text):
    recipe = recipe_of(tmp_path, image, text, epochs=1, window=20, micro_batch=10, checkpoint_seconds=0.0)
    pretrain(recipe, tiny_corpus, tmp_path / "one", watch=silent)
    with pytest.raises(BrokenOff):
        pretrain(recipe, tiny_corpus, tmp_path / "two", watch=break_off_after(1))
    pretrain(recipe, tiny_corpus, tmp_path / "two", watch=silent)
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    model = load(tmp_path / "one")
    save_model(model, tmp_path / "again")
    texts, picture = tiny_texts(3), np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
    assert torch.equal(load(tmp_path / "again").encode_texts(texts), model.encode_texts(texts))
    assert torch.equal(load(tmp_path / "again").encode_images([picture]), model.encode_images([picture]))


def test_a_run_of_an_earlier_version_goes_on_pooled_as_it_was(tiny_corpus, tmp_path):
    """It knew nothing of a folder's own pooling, and gave its optimizer the mask token, which never moves."""
    recipe = recipe_of(tmp_path, "dinov2", "sentence", epochs=1, window=20, checkpoint_seconds=0.0)
    with pytest.raises(BrokenOff):
        pretrain(recipe, tiny_corpus, tmp_path / "run", watch=break_off_after(1))
    state = load_checkpoint(tmp_path / "run" / "checkpoints")
    del state["pooled"]
    state["optimizer"]["param_groups"][0]["params"].insert(3, 999)
    save_checkpoint(state, tmp_path / "run" / "checkpoints")
    pretrain(recipe, tiny_corpus, tmp_path / "run", watch=silent)
    text = load(tmp_path / "run").text
    assert (text.pooling, text.normalized) == ("mean", False)


@pytest.mark.slow
@pytest.mark.parametrize(("image", "text"), GRAPHS)
def test_a_family_goes_to_onnx(tmp_path, image, text):
    recipe = recipe_of(tmp_path, image, text)
    model = build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).eval()
    save_model(model, tmp_path / "model")
    account = export(str(tmp_path / "model"), "onnx", tmp_path / "graphs")
    assert account["checked"]["largest_difference"] <= 1e-4
    there = medistill.open_model(f"onnx:{tmp_path / 'graphs'}").encode_texts(tiny_texts(2))
    np.testing.assert_allclose(there, model.encode_texts(tiny_texts(2)), atol=1e-4)


def test_a_pretrained_vit_and_roberta_go_to_the_hub(tmp_path):
    recipe = recipe_of(tmp_path, "vit", "roberta")
    towers = {
        name: Encoder(type="", pretrained=getattr(recipe, name).pretrained, pooling="cls")
        for name in ("image", "text")
    }
    model = build_model(tiny_recipe(**towers, channels=3), tiny_texts(20), [str(i) for i in range(20)])
    save_model(model, tmp_path / "model")
    assert export(str(tmp_path / "model"), "hub", tmp_path / "hub")["kind"] == "hub"
