"""Towers of timm, an optional extra; the tests that need it skip where it does not import."""

import sys

import pytest
import torch

from medistill.errors import CallError
from medistill.model.dual import build_model
from medistill.model.saved import load, save_model
from medistill.model.towers.build import build_image_tower
from medistill.recipe import Encoder
from tests.conftest import tiny_recipe, tiny_texts
from tests.model.test_towers import text_tower

MODELS = {
    "resnet10t": {},
    "vit_tiny_patch16_224": {"img_size": 32},
    "vit_wee_patch16_reg1_gap_256": {"img_size": 32},
    "swin_tiny_patch4_window7_224": {"img_size": 32, "window_size": 4},
    "convnext_atto": {},
}
"""Names and what makes them smaller; pooled over places, by class token, beside a register, after stages."""


@pytest.fixture(scope="module")
def timm():
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm does not import here ({error}): pip install 'medistill[timm]'")
    return timm


def saved(timm, folder, name: str):
    """A network of timm and the folder that it is saved in as for the hub."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=5, **MODELS[name]).eval()
    timm.models.save_for_hf(network, folder, model_args=MODELS[name], safe_serialization=True)
    return network


def encoder(folder) -> Encoder:
    return Encoder(type="", pretrained=f"timm:{folder}")


@pytest.mark.parametrize("name", MODELS)
def test_a_tower_of_timm_gives_what_timm_gives_before_its_classifier(timm, tmp_path, name):
    network = saved(timm, tmp_path, name)
    tower = build_image_tower(encoder(tmp_path), size=32, channels=3).eval()
    images = torch.rand(2, 3, 32, 32)
    expected = network.forward_head(network.forward_features(images), pre_logits=True)
    torch.testing.assert_close(tower(images), expected)
    tower(images).square().sum().backward()
    assert [name for name, p in tower.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("name", ["resnet10t", "vit_wee_patch16_reg1_gap_256"])
def test_a_model_with_a_tower_of_timm_is_saved_and_opened(timm, tmp_path, name):
    saved(timm, tmp_path / "timm", name)
    recipe = tiny_recipe(image=encoder(tmp_path / "timm"), channels=3)
    model = build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).eval()
    save_model(model, tmp_path / "model")
    picture = torch.arange(32 * 32).reshape(32, 32).to(torch.uint8).numpy()
    torch.testing.assert_close(
        load(tmp_path / "model").encode_images([picture]), model.encode_images([picture])
    )
    assert (tmp_path / "model" / "config.json").stat().st_size < 20_000  # without a thousand labels


def test_a_name_that_timm_does_not_know_is_one_line(timm):
    with pytest.raises(CallError, match="timm knows no such model; near: resnet50"):
        build_image_tower(Encoder(type="", pretrained="timm:resnet5O"), size=32, channels=3)
    with pytest.raises(CallError, match="Invalid pretrained tag"):
        build_image_tower(Encoder(type="", pretrained="timm:resnet50.nothing"), size=32, channels=3)


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(CallError, match=r"pip install 'medistill\[timm\]'") as error:
        build_image_tower(Encoder(type="", pretrained="timm:resnet50"), size=32, channels=3)
    assert "\n" not in str(error.value)


def test_timm_has_no_text_towers():
    with pytest.raises(CallError, match="timm, which has image towers alone"):
        text_tower("timm:resnet50")  # pyright: ignore[reportArgumentType]
