import json

import numpy as np
import pytest
import torch
from PIL import Image

import medistill
from medistill.errors import CallError
from medistill.model.saved import save_model
from tests.conftest import forget_checksums, tiny_model, tiny_recipe, tiny_texts, tiny_window


def pictures(count: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (40, 30), dtype=np.uint8) for _ in range(count)]


def test_embeddings_are_unit_rows():
    model = tiny_model()
    rows = torch.cat([model.encode_images(pictures()), model.encode_texts(tiny_texts(5))])
    assert rows.shape == (10, model.dim)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(10))


def test_pictures_and_arrays_of_the_same_pixels_are_the_same():
    model = tiny_model()
    arrays = pictures()
    torch.testing.assert_close(
        model.encode_images([Image.fromarray(x) for x in arrays]), model.encode_images(arrays)
    )


def test_the_batch_size_does_not_change_an_embedding():
    model = tiny_model()
    for encode, items in ((model.encode_images, pictures()), (model.encode_texts, tiny_texts(5))):
        torch.testing.assert_close(encode(items, batch_size=2), encode(items))


def test_encoding_does_not_change_the_training_mode():
    model = tiny_model().train()
    model.encode_images(pictures(1))
    assert model.training


def test_a_saved_model_gives_the_same_embeddings_and_scale(tmp_path):
    model = tiny_model()
    save_model(model, tmp_path)
    restored = medistill.load(tmp_path)
    assert torch.equal(restored.encode_images(pictures()), model.encode_images(pictures()))
    assert torch.equal(restored.encode_texts(tiny_texts(5)), model.encode_texts(tiny_texts(5)))
    assert restored.scale == model.scale


def test_a_saved_model_keeps_the_bias_of_sigmoid_logits(tmp_path):
    model = tiny_model(tiny_recipe(objective="siglip", bias=-7.0))
    save_model(model, tmp_path)
    assert medistill.load(tmp_path).bias.item() == -7.0


def test_a_saved_model_is_safetensors_and_json_alone(tmp_path):
    save_model(tiny_model(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checksums.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_a_model_of_another_format_is_refused(tmp_path):
    save_model(tiny_model(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": 99}))
    forget_checksums(tmp_path)
    with pytest.raises(CallError, match="format 99"):
        medistill.load(tmp_path)


def test_no_model_is_one_clear_line(tmp_path):
    with pytest.raises(CallError, match="no model in"):
        medistill.load(tmp_path)


def test_the_scale_is_kept_within_its_bounds():
    model = tiny_model()
    for start, kept in ((9.0, 100.0), (-9.0, 1.0)):
        model.log_scale.data.fill_(start)
        model.clamp_scale()
        assert model.scale == pytest.approx(kept)


def test_training_and_encoding_see_the_same_pixels():
    model = tiny_model().eval()
    window = tiny_window(model)
    with torch.no_grad():
        image, *_ = model(window.images, window.tokens, window.mask)
    torch.testing.assert_close(model.encode_images(list(window.images.numpy())), image)
