"""Models of sentence-transformers are pooled and made unit as their own files say."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from medistill.errors import CallError
from medistill.model.dual import build_model
from medistill.model.saved import load, save_model
from medistill.model.tokenizer import load_tokenizer
from medistill.model.towers.sentence import OwnPooling, own_pooling
from medistill.recipe import Encoder
from tests.conftest import tiny_recipe, tiny_texts
from tests.model.families import save_family, write_modules
from tests.model.foreign_models import rewrite
from tests.model.test_towers import text_tower

TOKENS = torch.tensor([[2, 17, 33, 41, 3]])
MASK = torch.ones(1, 5, dtype=torch.bool)


def modules(folder: Path, *kinds: str, path: str | None = None) -> None:
    """The list of modules, of any package and with any path of the first."""
    listed = [
        {"path": f"{i}_{kind.rpartition('.')[2]}" if i else path or "", "type": kind}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_mean_sqrt_len_tokens": True, "include_prompt": True}, "mean"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode": "mean", "pooling_mode_mean_tokens": True}, "mean"),
    ],
)
@pytest.mark.parametrize("asked", ["mean", "cls"])
def test_the_pooling_is_that_of_the_folder_whatever_the_recipe_says(
    tmp_path, settings, pooling, asked, caplog
):
    network = save_family(tmp_path, "bert")
    write_modules(tmp_path, **settings)
    with caplog.at_level("INFO", "medistill"):
        tower = text_tower(tmp_path, pooling=asked).eval()
    features = network(input_ids=TOKENS).last_hidden_state
    row = features[:, 0] if pooling == "cls" else features.mean(dim=1)
    torch.testing.assert_close(tower(TOKENS, MASK), F.normalize(row))
    assert f"pooled by its own files: {pooling}, rows made unit" in caplog.text


def test_rows_are_not_made_unit_where_no_module_says_so(tmp_path):
    network = save_family(tmp_path, "bert")
    write_modules(tmp_path, pooling_mode_mean_tokens=True)
    modules(tmp_path, "sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling")
    expected = network(input_ids=TOKENS).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(text_tower(tmp_path, pooling="cls").eval()(TOKENS, MASK), expected)


def test_newer_names_of_modules_are_known(tmp_path):
    save_family(tmp_path, "bert")
    write_modules(tmp_path, pooling_mode="mean")
    package = "sentence_transformers.sentence_transformer.modules"
    modules(
        tmp_path,
        "sentence_transformers.base.modules.transformer.Transformer",
        f"{package}.pooling.Pooling",
        f"{package}.normalize.Normalize",
    )
    assert own_pooling(str(tmp_path)) == OwnPooling("mean", normalized=True)


def test_a_pooling_without_a_list_of_modules_is_taken_too(tmp_path):
    save_family(tmp_path, "bert")
    write_modules(tmp_path, pooling_mode_cls_token=True)
    (tmp_path / "modules.json").unlink()
    assert own_pooling(str(tmp_path)) == OwnPooling("cls", normalized=False)


def test_a_plain_folder_is_pooled_as_the_recipe_says(tmp_path):
    save_family(tmp_path, "bert")
    assert own_pooling(str(tmp_path)) == OwnPooling()
    assert text_tower(tmp_path, pooling="cls").pooling == "cls"


def test_layers_behind_the_pooling_are_left_out_and_named(tmp_path, caplog):
    save_family(tmp_path, "bert")
    write_modules(tmp_path, "Dense", "Normalize", pooling_mode_mean_tokens=True)
    with caplog.at_level("INFO", "medistill"):
        assert text_tower(tmp_path).width == 16
    assert "left out Dense behind its pooling" in caplog.text


def test_a_transformer_in_a_folder_of_its_own_is_found_with_its_tokenizer(tmp_path):
    network = save_family(tmp_path / "0_Transformer", "bert")
    write_modules(tmp_path, pooling_mode_mean_tokens=True)
    modules(tmp_path, "m.Transformer", "m.Pooling", path="0_Transformer")
    expected = network(input_ids=TOKENS).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(text_tower(tmp_path).eval()(TOKENS, MASK), expected)
    assert load_tokenizer(str(tmp_path)).get_vocab_size() > 20


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"pooling_mode_lasttoken": True}, "pools by lasttoken, expected mean or cls alone"),
        ({"pooling_mode_max_tokens": True}, "pools by max_tokens"),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "pools by .*, expected mean or cls",
        ),
        ({}, "pools by nothing"),
    ],
)
def test_a_pooling_that_is_not_ours_is_one_line(tmp_path, settings, reason):
    save_family(tmp_path, "bert")
    write_modules(tmp_path, **settings)
    with pytest.raises(CallError, match=reason) as error:
        text_tower(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kinds", "path", "reason"),
    [
        (("m.CLIPModel",), "", "has a module 'CLIPModel'"),
        (("m.Transformer", "m.LSTM", "m.Pooling"), "", "has a module 'LSTM'"),
        (("m.Transformer", "m.Pooling"), "../other", "outside its folder"),
        (("m.Transformer", "m.Pooling"), "/etc", "outside its folder"),
    ],
)
def test_modules_that_are_not_ours_are_one_line(tmp_path, kinds, path, reason):
    save_family(tmp_path, "bert")
    write_modules(tmp_path, pooling_mode_mean_tokens=True)
    modules(tmp_path, *kinds, path=path)
    with pytest.raises(CallError, match=reason):
        text_tower(tmp_path)


@pytest.mark.parametrize("damage", ["{", "{}", "[1]"])
def test_a_damaged_list_of_modules_is_one_line(tmp_path, damage):
    save_family(tmp_path, "bert")
    (tmp_path / "modules.json").write_text(damage)
    with pytest.raises(CallError, match=r"modules\.json is damaged"):
        text_tower(tmp_path)


def test_a_pooling_that_is_named_but_not_there_is_one_line(tmp_path):
    save_family(tmp_path, "sentence")
    shutil.rmtree(tmp_path / "1_Pooling")
    with pytest.raises(CallError, match=r"lacks 1_Pooling/config\.json"):
        text_tower(tmp_path)


def test_a_saved_model_keeps_what_its_text_tower_does(tmp_path):
    save_family(tmp_path / "bert", "sentence")
    recipe = tiny_recipe(text=Encoder(type="", pretrained=str(tmp_path / "bert")))
    model = build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).eval()
    save_model(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.text.pooling, again.text.normalized) == ("cls", True)
    torch.testing.assert_close(again.text(TOKENS, MASK), model.text(TOKENS, MASK))
    assert float(again.text(TOKENS, MASK).detach().norm()) == pytest.approx(1)


def test_a_unit_norm_before_the_projection_changes_no_embedding_and_no_gradient(tmp_path):
    """The projection has no bias and its rows are made unit: a row's length has no say."""
    save_family(tmp_path, "sentence")
    recipe = tiny_recipe(text=Encoder(type="", pretrained=str(tmp_path)))
    model = build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).double().eval()
    found = []
    for unit in (True, False):
        model.text.normalized = unit
        model.zero_grad()
        rows = model.embed_tokens(TOKENS, MASK)
        rows[:, 0].sum().backward()
        found.append([rows.detach(), *(p.grad for p in model.text.parameters() if p.grad is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_a_saved_model_without_the_field_is_not_normalized(tmp_path):
    save_family(tmp_path / "bert", "bert")
    recipe = tiny_recipe(text=Encoder(type="", pretrained=str(tmp_path / "bert")))
    save_model(build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]), tmp_path / "model")
    assert "normalized" not in (tmp_path / "model" / "config.json").read_text()
    assert not load(tmp_path / "model").text.normalized
    (tmp_path / "model" / "checksums.json").unlink()
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["text"]["normalized"] = "yes"
    rewrite(tmp_path / "model" / "config.json", text=config["text"])
    with pytest.raises(CallError, match="has normalized in its text tower"):
        load(tmp_path / "model")
