"""What a configuration, table or index names is not followed: no network, no code, no other folder."""

import json
from types import SimpleNamespace

import pytest
from transformers import BertConfig, BertModel, VisionTextDualEncoderConfig

import medistill
from medistill.errors import CallError
from medistill.model.any_model import is_here
from medistill.model.foreign.onnx import EXPORT, OnnxGraphs
from medistill.model.foreign.open_clip import expect_own_folders
from medistill.model.saved import load, save_model
from medistill.model.towers.build import build_text_tower
from medistill.recipe import Encoder
from medistill.serve.index.about import About
from medistill.serve.index.query import model_of
from tests.conftest import tiny_model
from tests.model.foreign_models import LAYER, rewrite, save_foreign, tiny_tokenizer

HUB = "owner/kernels"
LOADS = [
    {"attn_implementation": HUB},
    {"attn_implementation": "flash_attention_2"},
    {"experts_implementation": HUB},
    {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    {"use_pretrained_backbone": True, "backbone": HUB},
    {"transformers_weights": "../other.safetensors"},
    {"fusion_config": {"rms": True}},
]


@pytest.fixture
def asked(monkeypatch):
    """Fails the test if anything looks up a host."""
    import socket

    hosts = []

    def refuse(host, *rest, **options):
        hosts.append(host)
        raise socket.gaierror("there is no network in this test")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert hosts == []


@pytest.fixture
def model(tmp_path):
    """A model folder that may be changed: one without checksums."""
    save_model(tiny_model(), tmp_path / "model")
    (tmp_path / "model" / "checksums.json").unlink()
    return tmp_path / "model"


def tower_values(folder, tower: str, **changes) -> None:
    config = json.loads((folder / "config.json").read_text())
    config[tower]["config"].update(changes)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("changes", LOADS, ids=lambda changes: next(iter(changes)))
@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_saved_model_that_asks_to_load_something_is_refused(asked, model, changes, tower):
    tower_values(model, tower, **changes)
    with pytest.raises(CallError, match=r"config\.json asks for .*it would load what is not in") as error:
        load(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("changes", LOADS, ids=lambda changes: next(iter(changes)))
def test_a_pretrained_tower_that_asks_to_load_something_is_refused(asked, tmp_path, changes):
    BertModel(BertConfig(**LAYER, vocab_size=200)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    rewrite(tmp_path / "config.json", **changes)
    with pytest.raises(CallError, match="asks for"):
        build_text_tower(Encoder(type="", pretrained=str(tmp_path)), vocabulary=0, pad=0, max_tokens=9)


@pytest.mark.parametrize("asks", [HUB, {"": "sdpa", "text_config": HUB}, {"vision_config": HUB}])
def test_a_model_of_transformers_that_asks_to_load_something_is_refused(asked, tmp_path, asks):
    folder = save_foreign(tmp_path, "clip")
    rewrite(folder / "config.json", attn_implementation=asks)
    with pytest.raises(CallError, match=r"asks for attn_implementation .*kernels.*, allowed is eager, sdpa"):
        medistill.open_model(f"hf:{folder}")


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "timm_wrapper", "architecture": "hf-hub:owner/model"},
        {"model_type": "timm_wrapper", "architecture": "local-dir:/elsewhere"},
        {
            "model_type": "timm_wrapper",
            "architecture": "resnet18",
            "model_args": {"checkpoint_path": "a.pth"},
        },
        {
            "model_type": "timm_wrapper",
            "architecture": "resnet18",
            "model_args": {"pretrained_cfg": {"url": "b"}},
        },
        {"model_type": "timm_backbone", "backbone": "hf-hub:owner/model"},
    ],
    ids=lambda changes: str(list(changes.values())[-1]),
)
def test_a_saved_model_that_lets_timm_fetch_something_is_refused(asked, model, changes):
    config = json.loads((model / "config.json").read_text())
    config["image"]["config"] = changes
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(CallError, match=r"asks for the architecture|gives timm|may fetch a model") as error:
        load(model)
    assert "\n" not in str(error.value)


def test_a_part_with_code_of_its_own_is_refused(asked, tmp_path):
    folder = save_foreign(tmp_path, "dual")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["auto_map"] = {"AutoModel": f"{HUB}--run.Model"}
    VisionTextDualEncoderConfig.from_dict(config).save_pretrained(folder)
    with pytest.raises(CallError, match="code of its own"):
        medistill.open_model(f"hf:{folder}")


@pytest.mark.parametrize("allowed", ["eager", "sdpa"])
def test_the_two_plain_ways_to_attend_are_allowed(model, allowed):
    tower_values(model, "text", attn_implementation=allowed)
    load(model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", "8"),
        ("dim", 0),
        ("size", "32"),
        ("size", 32.5),
        ("size", True),
        ("size", 10**9),
        ("channels", 2),
        ("max_tokens", None),
        ("max_tokens", -1),
        ("mean", "0.5"),
        ("mean", [0.5]),
        ("std", 0),
        ("std", float("nan")),
        ("biased", "no"),
        ("image", []),
        ("text", {"config": {}}),
        ("text", {"config": [], "pooling": "mean", "frozen_norm": False}),
        ("image", {"config": {}, "pooling": "sum", "frozen_norm": False}),
        ("image", {"config": {}, "pooling": "mean", "frozen_norm": 1}),
    ],
)
def test_a_value_of_the_wrong_type_in_a_saved_model_is_one_line(model, name, value):
    rewrite(model / "config.json", **{name: value})
    with pytest.raises(CallError, match=r"config\.json of the model has .*"):
        load(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "16"},
        {"hidden_size": -16},
        {"num_hidden_layers": None},
        {"hidden_act": HUB},
        {"model_type": "unheard"},
        {"model_type": 7},
        {"max_position_embeddings": 4},
        {"dtype": "bfloat17"},
    ],
)
def test_a_value_of_the_wrong_type_in_a_saved_tower_is_one_line(model, changes):
    tower_values(model, "text", **changes)
    with pytest.raises(CallError) as error:
        load(model)
    assert "\n" not in str(error.value)


def test_a_half_precision_in_a_saved_tower_does_not_change_what_it_gives(model):
    before = load(model).encode_texts(["clear"])
    tower_values(model, "text", dtype="bfloat16")
    assert (load(model).encode_texts(["clear"]) == before).all()


def about(name: str) -> About:
    return About(model=name, model_sha256="0" * 64, preprocessing=None, scale=1.0, dim=8)


@pytest.mark.parametrize(
    "name", ["hf:owner/model", "open_clip:ViT-B-32:openai", "open_clip:hf-hub:owner/model", "hf:/gone/model"]
)
def test_a_hub_name_in_a_table_or_index_is_not_followed(asked, name):
    assert not is_here(name)
    with pytest.raises(CallError, match=r"the index names a model of a hub .*--model"):
        model_of(about(name))


def test_a_folder_in_a_table_is(tmp_path, asked):
    folder = save_foreign(tmp_path, "clip")
    assert is_here(f"hf:{folder}")
    with pytest.raises(CallError, match="is of another model"):
        model_of(about(f"hf:{folder}"))
    with pytest.raises(CallError, match="not where it was"):
        model_of(about(str(tmp_path / "gone")))


@pytest.mark.parametrize(
    ("text", "vision"),
    [
        ({"hf_model_name": "owner/bert"}, {}),
        ({"hf_tokenizer_name": "owner/bert"}, {}),
        ({}, {"timm_model_name": "hf-hub:owner/vit"}),
        ({}, {"timm_model_name": "vit_tiny", "timm_model_pretrained": True}),
    ],
)
def test_a_hub_name_in_a_folder_of_open_clip_is_not_followed(text, vision):
    library = SimpleNamespace(get_model_config=lambda _: {"text_cfg": text, "vision_cfg": vision})
    with pytest.raises(CallError, match="would be fetched from a hub"):
        expect_own_folders(library, "open_clip:local-dir:x", "local-dir:x")


def test_folders_in_a_folder_of_open_clip_are(tmp_path):
    text = {"hf_model_name": str(tmp_path), "hf_tokenizer_name": str(tmp_path)}
    library = SimpleNamespace(get_model_config=lambda _: {"text_cfg": text, "vision_cfg": {}})
    expect_own_folders(library, "open_clip:local-dir:x", "local-dir:x")


@pytest.mark.parametrize("name", ["../other.onnx", "/etc/graph.onnx", "deeper/graph.onnx"])
def test_an_export_that_names_a_graph_elsewhere_is_refused(tmp_path, name):
    rewrite(tmp_path / EXPORT, kind="onnx", files={"image": name, "text": "text.onnx"})
    with pytest.raises(CallError, match="outside its folder"):
        OnnxGraphs(tmp_path)
