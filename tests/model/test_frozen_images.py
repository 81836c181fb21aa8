"""The lowest layers of image towers, frozen: the same features, and the same gradient above them."""

import copy
import dataclasses

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, DeiTConfig, DeiTModel

from medistill.errors import CallError
from medistill.model.dual import DualEncoder, build_model
from medistill.model.teacher import make_teacher, update_teacher
from medistill.recipe import Encoder, Recipe
from tests.conftest import tiny_recipe, tiny_texts, tiny_window
from tests.model.families import IMAGES, SIDE

FAMILIES = {
    **IMAGES,
    "clip_vision": lambda: CLIPVisionModel(CLIPVisionConfig(**SIDE)),
    "deit": lambda: DeiTModel(DeiTConfig(**SIDE)),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A saved model of each family."""
    home = tmp_path_factory.mktemp("families")
    for name, make in FAMILIES.items():
        torch.manual_seed(0)
        model = make()
        if model.config.model_type != "swin":  # whose number of layers is that of its stages
            model.config.num_hidden_layers = 2
        type(model)(model.config).save_pretrained(home / name)
    return home


def recipe_of(folder, **changes) -> Recipe:
    image = Encoder(type="", pretrained=str(folder), **changes)
    return tiny_recipe(image=image, channels=3)


def model_of(recipe: Recipe) -> DualEncoder:
    torch.manual_seed(0)
    return build_model(recipe, tiny_texts(20), [str(i) for i in range(20)]).double().train()


def gradients(model: DualEncoder, lower=None) -> dict[str, torch.Tensor]:
    window = tiny_window(model, 4)
    image, text, scale, _ = model(window.images, window.tokens, window.mask, (lower, None))
    (scale * image @ text.T).logsumexp(dim=1).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FAMILIES)
def test_layers_above_the_frozen_ones_get_the_gradient_of_the_whole(folders, family, pooling):
    recipe = recipe_of(folders / family, frozen_layers=1, pooling=pooling)
    whole = dataclasses.replace(recipe, image=dataclasses.replace(recipe.image, frozen_layers=0))
    free, frozen = model_of(whole), model_of(recipe)
    if family == "dinov3_vit":
        free.image.backbone.rope_embeddings.eval()  # it shifts the places at random, and below would not
    expected = gradients(free)
    found = gradients(frozen)
    held = {
        name for name, p in frozen.named_parameters() if name.startswith("image.") and not p.requires_grad
    }
    assert set(expected) - set(found) == held & set(expected) != set()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("family", ["dinov3_vit", "swin", "resnet"])
def test_what_is_frozen_computed_before_gives_the_same_gradient_bit_for_bit(folders, family):
    model = model_of(recipe_of(folders / family, frozen_layers=1))
    twin, window = copy.deepcopy(model), tiny_window(model, 4)
    lower = model.lower_images(window.images)
    assert not lower.requires_grad
    model.lower_images = None  # it is not asked again
    found, expected = gradients(model, lower), gradients(twin)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_frozen_stages_run_without_dropout_in_training(tmp_path):
    shape = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 8}
    vit = {**shape, "num_hidden_layers": 2, "hidden_dropout_prob": 0.3}
    model = model_of(tiny_recipe(image=Encoder(type="vit", config=vit, frozen_layers=1)))
    images = tiny_window(model).images
    first, second = (model.lower_images(images) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(model.image.upper(first), model.image.upper(first))


def test_images_reach_frozen_stages_and_those_above_in_the_layout_asked_for(folders):
    recipe = recipe_of(folders / "resnet", frozen_layers=1)
    plain, model = model_of(recipe), model_of(dataclasses.replace(recipe, channels_last=True))
    lower = model.lower_images(tiny_window(model, 4).images)
    assert lower.is_contiguous(memory_format=torch.channels_last)
    found, expected = gradients(model, lower.contiguous()), gradients(plain)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_places_are_the_same_below_frozen_layers_and_above(folders):
    model = model_of(recipe_of(folders / "dinov3_vit", frozen_layers=1))
    lower = model.lower_images(tiny_window(model).images)
    assert torch.equal(model.image.upper(lower), model.image.upper(lower))


def test_student_and_teacher_share_what_is_frozen(folders):
    student = model_of(recipe_of(folders / "vit", frozen_layers=1)).float()
    teacher = make_teacher(student)
    theirs, own = teacher.image.backbone, student.image.backbone
    assert theirs.embeddings.cls_token is own.embeddings.cls_token
    assert theirs.layernorm.weight is not own.layernorm.weight
    before = copy.deepcopy(student.state_dict())
    with torch.no_grad():
        student.image.backbone.layernorm.weight.add_(1)
    update_teacher(teacher, student, 0.5)
    moved = {name for name, value in teacher.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"image.backbone.layernorm.weight"}


def test_a_tower_that_its_library_runs_otherwise_is_an_error(folders, monkeypatch):
    monkeypatch.setattr("medistill.model.encoder.ImageTower.upper", lambda tower, hidden: hidden.mean(dim=1))
    with pytest.raises(CallError, match="does not run a tower of type vit layer by layer"):
        model_of(recipe_of(folders / "vit", frozen_layers=1))
