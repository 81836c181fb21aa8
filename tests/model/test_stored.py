"""Pickled weights are read where they are weights alone, and nothing in them is ever run."""

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertModel, ResNetForImageClassification, ViTModel

from medistill.errors import CallError
from medistill.model.tokenizer import load_tokenizer
from tests.model.foreign_models import LAYER, tiny_tokenizer
from tests.model.test_towers import RESNET, VIT, image_tower, same_weights, text_tower

BERT = BertConfig(**{**LAYER, "num_hidden_layers": 2}, vocab_size=200, max_position_embeddings=16)
BIN, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


class Evil:
    """Would make a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def bert(tmp_path):
    """A BERT in a folder that has no weights yet."""
    torch.manual_seed(0)
    network = BertModel(BERT)
    BERT.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return network


def write(folder: Path, weights: object, **how) -> None:
    torch.save(weights, folder / BIN, **how)


def shards(weights: dict[str, Tensor], folder: Path, count: int = 3) -> dict[str, str]:
    """The weights in several files with their index; which of them holds what."""
    names = sorted(weights)
    place = {name: f"pytorch_model-{i % count + 1:05}-of-{count:05}.bin" for i, name in enumerate(names)}
    for part in set(place.values()):
        torch.save({name: weights[name] for name in names if place[name] == part}, folder / part)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return place


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_with_nothing_but_a_bin_file_is_read(tmp_path, bert, zipped):
    write(tmp_path, bert.state_dict(), _use_new_zipfile_serialization=zipped)
    assert same_weights(text_tower(tmp_path), bert)


def test_a_bin_of_half_precision_becomes_float32(tmp_path, bert):
    write(tmp_path, bert.half().state_dict())
    tower = text_tower(tmp_path)
    assert {p.dtype for p in tower.parameters()} == {torch.float32}
    assert same_weights(tower, bert.float())


def test_a_bin_of_old_names_with_a_head_and_a_prefix_is_read(tmp_path, bert, caplog):
    """As BERTs of 2019 were converted: `gamma` and `beta`, position ids, the head of their pretraining."""
    whole = BertForMaskedLM(BERT)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in whole.state_dict().items()
    }
    write(tmp_path, OrderedDict(old | {"bert.embeddings.position_ids": torch.arange(16)[None]}))
    assert same_weights(text_tower(tmp_path), whole, "bert")
    write(tmp_path, {f"module.{name}": tensor for name, tensor in bert.state_dict().items()})
    with caplog.at_level("INFO", "medistill"):
        assert same_weights(text_tower(tmp_path), bert)
    assert "took the prefix module." in caplog.text


def test_an_image_tower_in_a_bin_is_read(tmp_path):
    network = ResNetForImageClassification(RESNET)
    RESNET.save_pretrained(tmp_path)
    write(tmp_path, network.state_dict())
    assert same_weights(image_tower(tmp_path), network, "resnet")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_bin_files_in_parts_are_read(tmp_path, bert, prefix):
    shards({prefix + name: tensor for name, tensor in bert.state_dict().items()}, tmp_path)
    assert same_weights(text_tower(tmp_path), bert)


def test_safetensors_are_taken_where_there_are_both(tmp_path, bert):
    bert.save_pretrained(tmp_path)
    write(tmp_path, Evil(tmp_path / "ran"))
    assert same_weights(text_tower(tmp_path), bert)


def test_a_bert_with_a_word_list_alone_has_its_tokenizer(tmp_path, bert):
    vocabulary = tiny_tokenizer().get_vocab()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)))
    write(tmp_path, bert.state_dict())
    expected = tiny_tokenizer().backend_tokenizer.encode("heart size is normal").ids
    assert load_tokenizer(str(tmp_path)).encode("heart size is normal").ids == expected
    assert same_weights(text_tower(tmp_path), bert)


@pytest.mark.parametrize("zipped", [True, False, None])
@pytest.mark.parametrize("forced", [False, True])
def test_a_pickle_that_would_run_code_is_refused_by_name(tmp_path, bert, monkeypatch, zipped, forced):
    if forced:  # a user's environment does not weaken it
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    held = {**bert.state_dict(), "more": Evil(tmp_path / "ran")}
    if zipped is None:
        (tmp_path / BIN).write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    else:
        write(tmp_path, held, _use_new_zipfile_serialization=zipped)
    found = "is a pickle of more than weights" if zipped is None else r"asks for \w+\.system when"
    with pytest.raises(CallError, match=rf"{BIN} {found}.* is refused") as error:
        text_tower(tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_a_part_that_would_run_code_is_refused_by_name(tmp_path, bert):
    place = shards(bert.state_dict(), tmp_path)
    part = sorted(set(place.values()))[1]
    torch.save({"more": Evil(tmp_path / "ran")}, tmp_path / part)
    with pytest.raises(CallError, match=rf"{part} asks for"):
        text_tower(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_whole_network_in_a_pickle_is_refused(tmp_path, bert):
    write(tmp_path, bert)
    with pytest.raises(CallError, match=rf"{BIN} asks for transformers\..*is refused"):
        text_tower(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n",
            "damaged or no file of torch",
        ),
        (b"", "damaged or no file of torch"),
        (b"PK\x03\x04 no archive", "damaged or no file of torch"),
    ],
)
def test_a_bin_that_is_none_is_one_line(tmp_path, bert, content, reason):
    (tmp_path / BIN).write_bytes(content)
    with pytest.raises(CallError, match=rf"{BIN} is {reason}") as error:
        text_tower(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ({"state_dict": {}, "epoch": 3}, "holds 'state_dict' of type dict"),
        ({"encoder.weight": [1.0]}, "of type list"),
        ([torch.zeros(2)], "holds a list"),
    ],
)
def test_a_bin_of_something_else_is_one_line(tmp_path, bert, held, reason):
    write(tmp_path, held)
    with pytest.raises(CallError, match=reason):
        text_tower(tmp_path)


def test_an_index_that_leads_astray_is_one_line(tmp_path, bert):
    place = shards(bert.state_dict(), tmp_path)
    (tmp_path / sorted(set(place.values()))[0]).unlink()
    with pytest.raises(CallError, match=r"lacks pytorch_model-00001-of-00003\.bin"):
        text_tower(tmp_path)
    for index, reason in (
        ({"weight_map": dict.fromkeys(place, "../elsewhere.bin")}, "outside its folder"),
        ({"weights": 1}, "is damaged"),
        ([], "is damaged"),
    ):
        (tmp_path / INDEX).write_text(json.dumps(index))
        with pytest.raises(CallError, match=reason):
            text_tower(tmp_path)


def test_a_folder_without_weights_is_one_line(tmp_path, bert):
    with pytest.raises(CallError, match=r"has no weights: expected model\.safetensors or pytorch_model\.bin"):
        text_tower(tmp_path)


def test_missing_weights_in_a_bin_are_refused(tmp_path, bert):
    weights = bert.state_dict()
    write(tmp_path, {name: tensor for name, tensor in weights.items() if "layer.1" not in name})
    with pytest.raises(CallError, match=r"lacks \d+ weights"):
        text_tower(tmp_path)


def test_a_bin_and_the_safetensors_of_it_give_the_same_tower(tmp_path):
    torch.manual_seed(0)
    network = ViTModel(VIT)
    network.save_pretrained(tmp_path)
    expected = image_tower(tmp_path).backbone.state_dict()
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    write(tmp_path, weights)
    found = image_tower(tmp_path).backbone.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
