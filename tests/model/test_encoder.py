import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from medistill.errors import CallError
from medistill.model.encoder import every_query
from medistill.model.towers.build import build_image_tower, build_text_tower
from medistill.recipe import Encoder

VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BERT = {**VIT, "vocab_size": 50}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}


def images(channels: int = 1) -> torch.Tensor:
    return torch.rand(2, channels, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_random_resnet_pools_over_places_and_has_no_batch_norm(channels):
    tower = build_image_tower(Encoder(type="resnet", config=RESNET), size=32, channels=channels)
    assert tower(images(channels)).shape == (2, 16)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in tower.modules())
    assert any(isinstance(m, nn.GroupNorm) for m in tower.modules())


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_vision_transformer_pools_patches_or_takes_the_class_token(pooling):
    encoder = Encoder(type="vit", config={**VIT, "patch_size": 16}, pooling=pooling)
    tower = build_image_tower(encoder, size=32, channels=1).eval()
    tokens = tower.backbone(images()).last_hidden_state
    expected = tokens[:, 0] if pooling == "cls" else tokens[:, 1:].mean(dim=1)
    torch.testing.assert_close(tower(images()), expected)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "camembert"])
def test_a_ready_mask_is_the_one_that_transformers_makes(kind):
    """So a card is not asked whether anything is masked; with nothing masked only rounding may differ."""
    tower = build_text_tower(Encoder(type=kind, config=VIT), vocabulary=50, pad=0, max_tokens=8).eval()
    assert tower.backbone.config._attn_implementation == "sdpa"
    tokens = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 5, 6, 7, 8, 3]])
    for mask, exact in ((tokens > 0, True), (tokens >= 0, False)):
        usual = tower.backbone(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        ready = tower.backbone(input_ids=tokens, attention_mask=every_query(mask)).last_hidden_state
        assert not exact or torch.equal(ready, usual)
        torch.testing.assert_close(ready, usual)


def test_text_padding_does_not_change_the_pooled_text():
    tower = build_text_tower(Encoder(type="bert", config=VIT), vocabulary=50, pad=0, max_tokens=16).eval()
    short, padded = torch.tensor([[2, 7, 9, 3]]), torch.tensor([[2, 7, 9, 3, 0, 0]])
    torch.testing.assert_close(tower(short, short > 0), tower(padded, padded > 0))


def test_an_unused_pooler_is_dropped():
    tower = build_text_tower(Encoder(type="bert", config=VIT), vocabulary=50, pad=0, max_tokens=16)
    assert not any("pooler" in name for name, _ in tower.named_parameters())


def test_pretrained_weights_load_from_a_folder_and_keep_their_batch_norm(tmp_path):
    torch.manual_seed(0)
    saved = ResNetModel(ResNetConfig(num_channels=3, **RESNET)).eval()
    saved.save_pretrained(tmp_path)
    tower = build_image_tower(Encoder(type="", pretrained=str(tmp_path)), size=32, channels=3).train()
    before = tower.backbone.embedder.embedder.normalization.running_mean.clone()
    pooled = tower(images(3))
    torch.testing.assert_close(pooled, saved(images(3)).last_hidden_state.mean(dim=(2, 3)))
    assert torch.equal(tower.backbone.embedder.embedder.normalization.running_mean, before)


@pytest.mark.parametrize(("model", "config"), [(ViTModel, ViTConfig(**VIT)), (BertModel, BertConfig(**BERT))])
def test_pretrained_transformers_load_from_a_folder(tmp_path, model, config):
    model(config).save_pretrained(tmp_path)
    encoder = Encoder(type="", pretrained=str(tmp_path))
    if model is ViTModel:
        assert build_image_tower(encoder, size=224, channels=3).width == 16
    else:
        assert build_text_tower(encoder, vocabulary=0, pad=0, max_tokens=16).width == 16


def test_the_wrong_number_of_channels_is_an_error_that_names_the_flag(tmp_path):
    ResNetModel(ResNetConfig(num_channels=3, **RESNET)).save_pretrained(tmp_path)
    with pytest.raises(CallError, match="--channels"):
        build_image_tower(Encoder(type="", pretrained=str(tmp_path)), size=32, channels=1)


def test_unknown_types_and_missing_folders_are_errors():
    with pytest.raises(CallError, match="no model type"):
        build_image_tower(Encoder(type="resnett"), size=32, channels=1)
    with pytest.raises(CallError, match="no folder"):
        build_image_tower(Encoder(type="", pretrained="./nowhere"), size=32, channels=1)


def test_a_misspelled_configuration_field_is_an_error():
    with pytest.raises(CallError, match="hiden_sizes"):
        build_image_tower(Encoder(type="resnet", config={"hiden_sizes": [8]}), size=32, channels=1)
