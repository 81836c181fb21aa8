"""Models of transformers: their own preprocessing, old checkpoints, and what is refused."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

import medistill
from medistill.errors import CallError
from medistill.model.fingerprint import model_hash
from tests.conftest import tiny_texts
from tests.model.foreign_models import edit_weights, rewrite, save_foreign

KINDS = ("clip", "siglip", "dual")
OLD = "text_model.embeddings.position_ids"


def pictures(count: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (60, 44), dtype=np.uint8) for _ in range(count)]


def by_hand(folder, texts, images):
    """Unit rows of transformers' own classes, the images one at a time."""
    network = AutoModel.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padding = "max_length" if "siglip" in network.config.model_type else True
    tokens = tokenizer(texts, padding=padding, truncation=True, return_tensors="pt")
    if "dual" not in network.config.model_type:
        tokens.pop("token_type_ids", None)
    with torch.no_grad():
        rows = [
            network.get_image_features(
                **processor(Image.fromarray(x).convert("RGB"), return_tensors="pt")
            ).pooler_output
            for x in images
        ]
        text = network.get_text_features(**tokens).pooler_output
    return tuple(rows / rows.norm(dim=1, keepdim=True) for rows in (torch.cat(rows), text))


@pytest.fixture
def clip(tmp_path):
    return save_foreign(tmp_path / "clip")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_transformers_own_classes(tmp_path, kind):
    folder = save_foreign(tmp_path, kind)
    model = medistill.open_model(f"hf:{folder}")
    image, text = by_hand(folder, tiny_texts(5), pictures())
    torch.testing.assert_close(model.encode_images(pictures(), batch_size=2), image)
    torch.testing.assert_close(model.encode_texts(tiny_texts(5)), text)
    assert model.encode_images([]).shape == (0, image.shape[1])


def test_texts_of_a_siglip_are_padded_to_its_length_whatever_the_batch(tmp_path):
    model = medistill.open_model(f"hf:{save_foreign(tmp_path, 'siglip')}")
    texts = tiny_texts(5)
    torch.testing.assert_close(model.encode_texts(texts, batch_size=1), model.encode_texts(texts))
    assert model.preprocessing["text_padding"] == "max_length"


def test_scale_and_bias_are_the_models_own(tmp_path):
    model = medistill.open_model(f"hf:{save_foreign(tmp_path, 'siglip')}")
    assert model.scale == pytest.approx(np.exp(2.0))
    assert model.bias == -7.0


def test_a_long_text_is_cut_to_what_the_tower_takes(clip):
    rewrite(clip / "tokenizer_config.json", model_max_length=10**30)
    model = medistill.open_model(f"hf:{clip}")
    assert model.preprocessing["max_tokens"] == 16
    assert model.encode_texts(["heart " * 100]).isfinite().all()


@pytest.mark.parametrize(
    "changes",
    [
        {"image_mean": [0.1, 0.1, 0.1]},
        {"image_std": [0.9, 0.9, 0.9]},
        {"size": {"shortest_edge": 60}},
        {"do_center_crop": False, "size": {"height": 32, "width": 32}},
        {"resample": 0},
    ],
)
def test_the_preprocessing_in_the_folder_is_what_images_go_through(clip, changes):
    before = medistill.open_model(f"hf:{clip}")
    rewrite(clip / "preprocessor_config.json", **changes)
    after = medistill.open_model(f"hf:{clip}")
    assert not torch.allclose(after.encode_images(pictures()), before.encode_images(pictures()), atol=1e-3)
    assert after.preprocessing != before.preprocessing


def test_the_preprocessing_is_told(clip):
    told = medistill.open_model(f"hf:{clip}").preprocessing
    assert told["resize"] == {"shortest_edge": 36}
    assert told["crop"] == {"height": 32, "width": 32}
    assert told["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert (told["interpolation"], told["channels"], told["max_tokens"]) == ("bicubic", 3, 16)
    json.dumps(told)


def test_color_stays_and_deep_grey_is_brought_to_8_bits(clip):
    model = medistill.open_model(f"hf:{clip}")
    grey = pictures(1)[0]
    red = Image.merge("RGB", [Image.fromarray(x) for x in (grey, np.zeros_like(grey), np.zeros_like(grey))])
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    rows = model.encode_images([grey, Image.fromarray(grey), deep, red, red.convert("L")])
    torch.testing.assert_close(rows[1], rows[0])
    assert (rows[2] @ rows[0]) > 0.99
    assert not torch.allclose(rows[3], rows[4], atol=1e-2)


def test_a_network_of_one_channel_is_given_one(tmp_path):
    folder = save_foreign(tmp_path, "dual")
    config = json.loads((folder / "config.json").read_text())
    rewrite(folder / "config.json", vision_config={**config["vision_config"], "num_channels": 1})
    rewrite(folder / "preprocessor_config.json", image_mean=[0.5], image_std=[0.5])
    patches = "vision_model.embeddings.patch_embeddings.projection.weight"
    edit_weights(folder, lambda w: w.__setitem__(patches, w[patches][:, :1].contiguous()))
    model = medistill.open_model(f"hf:{folder}")
    assert model.preprocessing["channels"] == 1
    assert model.encode_images(pictures()).shape == (5, 8)


def test_an_old_checkpoint_with_position_ids_loads_with_one_note(clip, caplog):
    before = medistill.open_model(f"hf:{clip}").encode_texts(tiny_texts(3))
    edit_weights(clip, lambda weights: weights.update({OLD: torch.arange(16)[None]}))
    with caplog.at_level(logging.INFO, "medistill"):
        model = medistill.open_model(f"hf:{clip}")
    torch.testing.assert_close(model.encode_texts(tiny_texts(3)), before)
    assert [record.message for record in caplog.records if OLD in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 1


def test_weights_without_a_place_are_left_out_with_a_warning(clip, caplog):
    edit_weights(clip, lambda weights: weights.update({"head.weight": torch.zeros(3)}))
    medistill.open_model(f"hf:{clip}")
    assert "1 weights have no place in the model, left out (head.weight)" in caplog.text


@pytest.mark.parametrize(
    "edit",
    [
        lambda weights: weights.pop("visual_projection.weight"),
        lambda weights: weights.update({"visual_projection.weight": torch.zeros(3, 3)}),
    ],
)
def test_missing_or_misshapen_weights_are_refused(clip, edit):
    edit_weights(clip, edit)
    with pytest.raises(CallError, match=r"lacks 1 weights .*visual_projection\.weight"):
        medistill.open_model(f"hf:{clip}")


def test_a_pickle_is_refused_with_the_way_to_convert_it(clip):
    weights = clip / "model.safetensors"
    torch.save({}, clip / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(CallError, match=r"no model\.safetensors but pytorch_model\.bin.*save_pretrained"):
        medistill.open_model(f"hf:{clip}")


def test_code_of_the_models_own_is_not_run(clip):
    (clip / "run.py").write_text("raise SystemExit('was run')")
    rewrite(clip / "config.json", model_type="unheard", auto_map={"AutoConfig": "run.Config"})
    with pytest.raises(CallError, match="cannot load"):
        medistill.open_model(f"hf:{clip}")


@pytest.mark.parametrize("kind", ["bert", "blip-2"])
def test_a_model_that_is_no_dual_encoder_is_refused(clip, kind):
    (clip / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(CallError, match=f"is of type {kind}, expected one of"):
        medistill.open_model(f"hf:{clip}")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "preprocessor_config.json").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"cut"),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: rewrite(folder / "preprocessor_config.json", crop_size={"height": 8, "width": 8}),
    ],
)
def test_a_damaged_folder_is_one_line(clip, damage):
    damage(clip)
    with pytest.raises(CallError) as error:
        medistill.open_model(f"hf:{clip}")
    assert "\n" not in str(error.value)


def test_a_model_that_gives_another_embedding_each_time_is_refused(clip, monkeypatch):
    embeddings = "transformers.models.clip.modeling_clip.CLIPVisionEmbeddings.forward"
    drawn = lambda self, pixel_values, **how: torch.rand(len(pixel_values), 17, 16)  # noqa: E731
    monkeypatch.setattr(embeddings, drawn)
    with pytest.raises(CallError, match="another embedding of the same image each time"):
        medistill.open_model(f"hf:{clip}")


def test_an_offset_of_positions_is_that_of_the_text_tower(tmp_path):
    from transformers import RobertaConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel, ViTConfig

    from tests.model.foreign_models import IMAGE, TEXT

    folder = save_foreign(tmp_path, "dual")
    text = RobertaConfig(**{**TEXT, "pad_token_id": 3})
    config = VisionTextDualEncoderConfig.from_vision_text_configs(ViTConfig(**IMAGE), text, projection_dim=8)
    VisionTextDualEncoderModel(config).save_pretrained(folder)
    rewrite(folder / "tokenizer_config.json", model_max_length=10**30)
    model = medistill.open_model(f"hf:{folder}")
    assert model.preprocessing["max_tokens"] == 12
    assert model.encode_texts(["heart " * 100]).isfinite().all()


def test_a_hub_name_without_a_network_is_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CallError, match=r"cannot load hf:nobody/nothing: .*docs/offline\.md"):
        medistill.open_model("hf:nobody/nothing")


def test_a_folder_of_transformers_without_its_prefix_is_pointed_to_it(clip):
    with pytest.raises(CallError, match="give hf:"):
        medistill.open_model(clip)
    with pytest.raises(CallError, match="open_model"):
        medistill.load(f"hf:{clip}")


def test_the_hash_follows_the_weights(clip, tmp_path):
    mine = model_hash(medistill.open_model(f"hf:{clip}"))
    assert mine == model_hash(medistill.open_model(f"hf:{save_foreign(tmp_path / 'again')}"))
    edit_weights(clip, lambda weights: weights["logit_scale"].add_(1))
    assert model_hash(medistill.open_model(f"hf:{clip}")) != mine
