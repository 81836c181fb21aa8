"""A tower is held against its weights, its recipe and its tokenizer before anything is trained."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModel,
    BartConfig,
    BartModel,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    CLIPModel,
    DistilBertConfig,
    DistilBertModel,
    EfficientNetConfig,
    EfficientNetModel,
    MobileViTConfig,
    MobileViTModel,
    PretrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    RobertaConfig,
    RobertaModel,
    SiglipModel,
    T5Config,
    T5EncoderModel,
    T5Model,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    ViTModel,
)

from medistill.errors import CallError
from medistill.model.dual import DualEncoder, build_model
from medistill.model.encoder import ImageTower
from medistill.model.saved import load, save_model
from medistill.model.towers.build import build_image_tower, build_text_tower
from medistill.model.towers.trial import try_image_tower
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_texts
from tests.model.foreign_models import IMAGE, LAYER, TEXT, edit_weights, rewrite, save_foreign, tiny_tokenizer

LAYERS = {**LAYER, "num_hidden_layers": 2}
BERT = BertConfig(**LAYERS, vocab_size=200, max_position_embeddings=16)
VIT = ViTConfig(**{**IMAGE, **LAYERS})
RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
MAE = ViTMAEConfig(
    **IMAGE, decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2
)
EFFICIENT = EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320)
MOBILE_VIT = MobileViTConfig(
    hidden_sizes=[16, 16, 16], neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 24], num_attention_heads=2, image_size=64
)
T5 = T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=200)
BART = BartConfig(
    d_model=16,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
    vocab_size=200,
    max_position_embeddings=32,
)


def saved(folder: Path, network: Callable[[PretrainedConfig], PreTrainedModel], config: PretrainedConfig):
    """A network at random and the folder it is saved in, with a tokenizer."""
    torch.manual_seed(0)
    made = network(config).eval()
    made.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return made


def renamed(folder: Path, name: Callable[[str], str]) -> None:
    """The same weights under other names."""
    weights = load_file(folder / "model.safetensors")
    save_file({name(key): tensor for key, tensor in weights.items()}, folder / "model.safetensors")


def image_tower(folder: Path, size: int = 32, channels: int = 3, **how):
    return build_image_tower(Encoder(type="", pretrained=str(folder), **how), size=size, channels=channels)


def text_tower(folder: Path, max_tokens: int = 16, tokens: int = 50, **how):
    encoder = Encoder(type="", pretrained=str(folder), **how)
    return build_text_tower(encoder, vocabulary=0, pad=0, max_tokens=max_tokens, tokens=tokens)


def noise(size: int = 32, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(3))


TOKENS = torch.arange(5, 13)[None]
MASK = torch.ones(1, 8, dtype=torch.bool)


def same_weights(tower, network, part: str = "") -> bool:
    """Whether every weight of the tower is that of the network's part."""
    theirs: Mapping[str, Tensor] = (network.get_submodule(part) if part else network).state_dict()
    ours = tower.backbone.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.mark.parametrize(
    "prefix", ["bert_model.", "module.", "text_encoder.", "module.text_encoder.", "model._orig_mod."]
)
def test_known_prefixes_are_taken_off_the_text_towers_weights_and_named(tmp_path, caplog, prefix):
    network = saved(tmp_path, BertModel, BERT)
    renamed(tmp_path, lambda key: prefix + key)
    with caplog.at_level(logging.INFO, "medistill"):
        tower = text_tower(tmp_path)
    assert same_weights(tower, network)
    assert prefix in caplog.text


@pytest.mark.parametrize("prefix", ["vision_model.", "module.image_encoder.", "visual.", "backbone."])
def test_known_prefixes_are_taken_off_the_image_towers_weights_and_named(tmp_path, caplog, prefix):
    network = saved(tmp_path, ViTModel, VIT)
    renamed(tmp_path, lambda key: prefix + key)
    with caplog.at_level(logging.INFO, "medistill"):
        tower = image_tower(tmp_path)
    assert same_weights(tower, network)
    assert prefix in caplog.text


def test_a_tower_is_found_beside_another_in_one_checkpoint(tmp_path, caplog):
    network = saved(tmp_path, BertModel, BERT)
    renamed(tmp_path, lambda key: f"module.text_encoder.{key}")
    others = {"module.image_encoder.conv1.weight": torch.zeros(2), "module.logit_scale": torch.zeros(1)}
    edit_weights(tmp_path, lambda weights: weights.update(others))
    with caplog.at_level(logging.INFO, "medistill"):
        assert same_weights(text_tower(tmp_path), network)
    assert "image_encoder, logit_scale" in caplog.text


@pytest.mark.parametrize(
    "layer", ["encoder.layer.1.", "embeddings.word_embeddings.", "encoder.layer.0.output."]
)
@pytest.mark.parametrize("prefix", ["", "bert_model."])
def test_missing_weights_are_refused_in_one_line(tmp_path, layer, prefix):
    saved(tmp_path, BertModel, BERT)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {prefix + key: tensor for key, tensor in weights.items() if not key.startswith(layer)}
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(
        CallError, match=r"for the text tower lacks \d+ weights .*they would be random"
    ) as error:
        text_tower(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("network", "config", "cut"),
    [
        (ViTForImageClassification, VIT, "vit.encoder.layer.1."),
        (ResNetForImageClassification, RESNET, "resnet.encoder.stages.1."),
    ],
)
def test_missing_weights_of_an_image_tower_are_refused(tmp_path, network, config, cut):
    saved(tmp_path, network, config)
    weights = load_file(tmp_path / "model.safetensors")
    assert any(key.startswith(cut) for key in weights)
    kept = {key: tensor for key, tensor in weights.items() if not key.startswith(cut)}
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(CallError, match=r"for the image tower lacks \d+ weights"):
        image_tower(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"intermediate_size": 24}, {"vocab_size": 150}, {"max_position_embeddings": 8}]
)
def test_weights_of_another_shape_are_refused(tmp_path, changes):
    saved(tmp_path, BertModel, BERT)
    rewrite(tmp_path / "config.json", **changes)
    with pytest.raises(CallError, match="in another shape"):
        text_tower(tmp_path, max_tokens=8)


@pytest.mark.parametrize(
    "names", [("encoder.layer.2.output.dense.bias",), ("adapter.down.weight",), ("lora_A",)]
)
def test_weights_without_a_place_are_refused(tmp_path, names):
    saved(tmp_path, BertModel, BERT)
    edit_weights(tmp_path, lambda weights: weights.update({name: torch.zeros(16) for name in names}))
    with pytest.raises(CallError, match=r"holds 1 weights that have no place in its model"):
        text_tower(tmp_path)


def test_more_layers_than_the_configuration_says_are_refused(tmp_path):
    saved(tmp_path, BertModel, BERT)
    rewrite(tmp_path / "config.json", num_hidden_layers=1)
    with pytest.raises(CallError, match="no place in its model"):
        text_tower(tmp_path)


@pytest.mark.parametrize(
    ("network", "config", "build"),
    [
        (BertForMaskedLM, BERT, text_tower),
        (ViTForImageClassification, VIT, image_tower),
        (ResNetForImageClassification, RESNET, image_tower),
    ],
)
def test_heads_and_poolers_are_no_part_of_a_tower(tmp_path, network, config, build, caplog):
    made = saved(tmp_path, network, config)
    with caplog.at_level(logging.INFO, "medistill"):
        tower = build(tmp_path)
    assert same_weights(tower, made, made.base_model_prefix)
    assert "left out what lies beside the tower" in caplog.text


@pytest.mark.parametrize(
    ("kind", "network"), [("clip", CLIPModel), ("siglip", SiglipModel), ("dual", AutoModel)]
)
def test_of_a_whole_dual_encoder_the_tower_is_taken_and_named(tmp_path, kind, network, caplog):
    folder = save_foreign(tmp_path, kind)
    whole = network.from_pretrained(folder).eval()
    with caplog.at_level(logging.INFO, "medistill"):
        image = image_tower(folder)
        if kind == "siglip":
            with pytest.raises(CallError, match="does not build by itself"):
                text_tower(folder)
            return
        text = text_tower(folder)
    assert "the vision part of a model of type" in caplog.text
    assert "the text part of a model of type" in caplog.text
    expected = whole.vision_model(noise()).last_hidden_state
    torch.testing.assert_close(image.backbone(noise()).last_hidden_state, expected)
    expected = whole.text_model(input_ids=TOKENS, attention_mask=MASK.long()).last_hidden_state
    theirs = text.backbone(input_ids=TOKENS, attention_mask=MASK.long()).last_hidden_state
    torch.testing.assert_close(theirs, expected)


@pytest.mark.parametrize(
    ("network", "config", "size", "width"),
    [(EfficientNetModel, EFFICIENT, 64, 320), (MobileViTModel, MOBILE_VIT, 64, 24)],
)
def test_the_width_of_an_image_tower_is_that_of_its_features(tmp_path, network, config, size, width):
    saved(tmp_path, network, config)
    tower = image_tower(tmp_path, size=size).eval()
    assert tower.width == width == tower(noise(size)).shape[1]


@pytest.mark.parametrize(("network", "config"), [(T5Model, T5), (T5EncoderModel, T5), (BartModel, BART)])
def test_of_an_encoder_and_a_decoder_the_encoder_is_taken(tmp_path, network, config):
    whole = saved(tmp_path, network, config)
    tower = text_tower(tmp_path).eval()
    expected = whole.get_encoder()(input_ids=TOKENS, attention_mask=MASK.long()).last_hidden_state
    torch.testing.assert_close(tower(TOKENS, MASK), expected.mean(dim=1))


@pytest.mark.parametrize(
    ("network", "config", "limit"),
    [
        (BertModel, BertConfig(**LAYERS, vocab_size=200, max_position_embeddings=32), 32),
        (RobertaModel, RobertaConfig(**LAYERS, vocab_size=200, max_position_embeddings=66), 64),
        (
            DistilBertModel,
            DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=40),
            40,
        ),
        (BartModel, BART, 32),
    ],
)
def test_a_text_tower_of_few_positions_names_how_many_tokens_it_takes(tmp_path, network, config, limit):
    saved(tmp_path, network, config)
    with pytest.raises(CallError, match=rf"at most {limit} tokens.*96: set --max-tokens {limit}$"):
        text_tower(tmp_path, max_tokens=96)
    assert text_tower(tmp_path, max_tokens=limit).width == 16


def test_a_random_roberta_has_places_for_the_whole_text():
    encoder = Encoder(type="roberta", config=LAYERS)
    tower = build_text_tower(encoder, vocabulary=50, pad=0, max_tokens=96, tokens=50).eval()
    tokens = torch.full((1, 96), 7)
    assert tower(tokens, torch.ones_like(tokens, dtype=torch.bool)).isfinite().all()


def test_a_random_tower_of_few_positions_is_refused():
    encoder = Encoder(type="bert", config={**LAYERS, "max_position_embeddings": 32})
    with pytest.raises(CallError, match="at most 32 tokens"):
        build_text_tower(encoder, vocabulary=50, pad=0, max_tokens=96, tokens=50)


@pytest.mark.parametrize(("network", "config"), [(ViTModel, ViTConfig(**{**IMAGE, "image_size": 96}))])
def test_a_vision_transformer_of_another_size_names_the_flag(tmp_path, network, config):
    saved(tmp_path, network, config)
    with pytest.raises(CallError, match=r"64 x 64 pixels .*; set --size 96$"):
        image_tower(tmp_path, size=64)
    assert image_tower(tmp_path, size=96).width == 16


def test_the_part_of_a_clip_of_another_size_names_the_flag(tmp_path):
    with pytest.raises(CallError, match="set --size 32"):
        image_tower(save_foreign(tmp_path, "clip"), size=64)


def test_a_text_tower_for_images_and_the_other_way_round_are_refused(tmp_path):
    saved(tmp_path / "bert", BertModel, BERT)
    saved(tmp_path / "vit", ViTModel, VIT)
    with pytest.raises(
        CallError, match="of type bert, which reads input_ids, expected one that reads pixel_"
    ):
        image_tower(tmp_path / "bert")
    with pytest.raises(
        CallError, match="of type vit, which reads pixel_values, expected one that reads input"
    ):
        text_tower(tmp_path / "vit")


@pytest.mark.parametrize("build", ["pretrained", "load", "hf"])
def test_a_tokenizer_larger_than_the_table_is_refused(tmp_path, build):
    import medistill

    if build == "load":
        model = tiny_model()
        model.tokenizer.add_tokens([f"word{i}" for i in range(300)])
        save_model(model, tmp_path)
        with pytest.raises(CallError, match=r"a table of \d+ embeddings, its tokenizer \d+ tokens"):
            load(tmp_path)
        return
    if build == "hf":
        folder = save_foreign(tmp_path, "clip")
    else:
        folder = tmp_path
        saved(folder, BertModel, BERT)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"word{i}" for i in range(300)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(CallError, match=r"a table of 200 embeddings, its tokenizer \d+ tokens"):
        if build == "hf":
            medistill.open_model(f"hf:{folder}")
        else:
            recipe = tiny_recipe(text=Encoder(type="", pretrained=str(folder)))
            build_model(recipe, tiny_texts(20), [str(i) for i in range(20)])


def test_a_masked_autoencoder_is_read_without_its_masks(tmp_path, caplog):
    whole = saved(tmp_path, ViTMAEForPreTraining, MAE)
    with caplog.at_level(logging.INFO, "medistill"):
        tower = image_tower(tmp_path).eval()
    assert "masks images at random" in caplog.text
    assert torch.equal(tower(noise()), tower(noise()))
    weights = tower.backbone.state_dict()
    theirs = whole.vit.state_dict()
    assert all(torch.equal(weights[name], theirs[name]) for name in weights)


def test_a_tower_that_draws_in_eval_mode_is_refused(tmp_path, monkeypatch):
    with pytest.raises(CallError, match="another embedding of the same input"):
        build_image_tower(Encoder(type="vit_mae", config=IMAGE), size=32, channels=3)
    saved(tmp_path, BertModel, BERT)
    monkeypatch.setattr(
        "transformers.models.bert.modeling_bert.BertSelfOutput.forward",
        lambda self, hidden, before: torch.nn.functional.dropout(self.dense(hidden), 0.5) + before,
    )
    with pytest.raises(CallError, match="another embedding of the same input"):
        text_tower(tmp_path)


def test_a_trial_of_a_tower_that_draws_leaves_the_random_numbers_of_the_run_alone():
    tower = ImageTower(AutoModel.from_config(MAE), MAE, "mean", frozen_norm=True)
    before = torch.get_rng_state()
    with pytest.raises(CallError, match="another embedding"):
        try_image_tower(tower, "it", size=32, channels=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_trial_draws_no_random_numbers_of_the_run_and_leaves_modes_alone(tmp_path):
    saved(tmp_path, BertModel, BERT)
    torch.manual_seed(5)
    tower = build_text_tower(Encoder(type="bert", config=LAYERS), vocabulary=50, pad=0, max_tokens=16)
    after = torch.rand(1)
    torch.manual_seed(5)
    BertModel(tower.config)
    assert torch.equal(torch.rand(1), after)
    assert tower.training
    assert tower.backbone.training


@pytest.mark.parametrize("kind", ["clip", "siglip", "dual"])
def test_every_weight_of_a_taken_tower_that_is_trained_is_used(tmp_path, kind):
    tower = image_tower(save_foreign(tmp_path, kind))
    tower(noise()).square().sum().backward()
    assert [name for name, p in tower.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_in_several_files_are_read(tmp_path, prefix):
    network = BertModel(BERT)
    network.save_pretrained(tmp_path, max_shard_size="8KB")
    index = tmp_path / "model.safetensors.index.json"
    parts = json.loads(index.read_text())["weight_map"]
    assert len(set(parts.values())) > 2
    for part in set(parts.values()):
        weights = load_file(tmp_path / part)
        renamed_weights = {prefix + key: tensor for key, tensor in weights.items()}
        save_file(renamed_weights, tmp_path / part, metadata={"format": "pt"})
    rewrite(index, weight_map={prefix + key: part for key, part in parts.items()})
    assert same_weights(text_tower(tmp_path), network)


def test_weights_in_a_file_outside_the_folder_are_refused(tmp_path):
    saved(tmp_path / "other", BertModel, BERT)
    saved(tmp_path / "bert", BertModel, BERT)
    (tmp_path / "bert" / "model.safetensors").unlink()
    names = load_file(tmp_path / "other" / "model.safetensors")
    parts = dict.fromkeys(names, "../other/model.safetensors")
    rewrite(tmp_path / "bert" / "model.safetensors.index.json", metadata={}, weight_map=parts)
    with pytest.raises(CallError, match="outside its folder"):
        text_tower(tmp_path / "bert")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, bad):
    saved(tmp_path, BertModel, BERT)
    edit_weights(tmp_path, lambda weights: weights["embeddings.LayerNorm.weight"].fill_(bad))
    with pytest.raises(CallError, match="NaN or infinity"):
        text_tower(tmp_path)


@pytest.mark.parametrize(
    ("image", "text"), [("efficientnet", "t5"), ("clip", "clip"), ("mae", "bart"), ("clip", "roberta")]
)
def test_a_model_of_such_towers_is_saved_and_loaded_to_the_same_embeddings(tmp_path, image, text):
    networks = {
        "efficientnet": (EfficientNetModel, EFFICIENT),
        "mae": (ViTMAEForPreTraining, MAE),
        "t5": (T5Model, T5),
        "bart": (BartModel, BART),
        "roberta": (RobertaModel, RobertaConfig(**LAYERS, vocab_size=200, max_position_embeddings=18)),
    }
    for name in {image, text}:
        if name == "clip":
            save_foreign(tmp_path / name)
        else:
            saved(tmp_path / name, *networks[name])
    recipe = tiny_recipe(
        image=Encoder(type="", pretrained=str(tmp_path / image)),
        text=Encoder(type="", pretrained=str(tmp_path / text)),
        channels=3,
        size=64 if image == "efficientnet" else 32,
    )
    model: DualEncoder = build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).eval()
    save_model(model, tmp_path / "model")
    again = load(tmp_path / "model")
    pictures = [np.random.default_rng(0).integers(0, 256, (40, 32), dtype=np.uint8)]
    for _ in range(2):
        assert torch.equal(again.encode_images(pictures), model.encode_images(pictures))
        assert torch.equal(again.encode_texts(tiny_texts(3)), model.encode_texts(tiny_texts(3)))


def test_an_adapter_without_its_model_is_refused(tmp_path):
    saved(tmp_path, BertModel, BERT)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/model"}))
    with pytest.raises(CallError, match="merge the adapter"):
        text_tower(tmp_path)


@pytest.mark.parametrize("text", [*TEXT])
def test_every_damaged_value_of_a_configuration_is_one_line(tmp_path, text):
    saved(tmp_path, BertModel, BERT)
    rewrite(tmp_path / "config.json", **{text: "many"})
    with pytest.raises(CallError) as error:
        text_tower(tmp_path)
    assert "\n" not in str(error.value)
