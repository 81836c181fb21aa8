"""One tower at a time: the same gradient, and one tower's activations alive."""

import copy
import weakref

import pytest
import torch
from torch import nn

from medistill.engine.method import ByTower
from medistill.engine.objectives import by_tower, make_method
from medistill.engine.step import Batching, train_window
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.test_step import PAIRS, Steps, msd

BY_TOWER = ("msd", "moco", "gradcache", "siglip")


def method_of(fabric, name, model):
    """The objective, where it has a teacher one that differs from the student."""
    if name == "msd":
        return msd(fabric, tiny_model())
    recipe = tiny_recipe(objective=name, bias=-2.0, queue=6, queue_warmup=0.0)
    return make_method(recipe, copy.deepcopy(model), fabric)


def student_for(name):
    return tiny_model(tiny_recipe(objective=name, bias=-2.0)).double()


def gradients(fabric, name, model, batching, *, wrapped=None):
    """One gradient for each step of a window, and its loss; `wrapped` holds `model` and is trained."""
    steps, window = Steps(model), tiny_window(model, PAIRS)
    method, student = method_of(fabric, name, model), fabric.setup_module(wrapped or model)
    loss = train_window(fabric, student, method, window, batching=batching, optimizer_step=steps)
    return steps.gradients, loss


class Joint(nn.Module):
    """Somebody's model: one forward for both modalities, and nothing else."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, *inputs):
        return self.inner(*inputs)


@pytest.mark.parametrize("name", BY_TOWER)
@pytest.mark.parametrize(("image", "text"), [(1, 3), (3, 1), (8, 2), (0, 5)])
def test_passes_of_any_size_give_the_gradient_of_both_towers_at_once(fabric, name, image, text):
    step = 4 if name == "moco" else PAIRS
    model = student_for(name)
    twin = copy.deepcopy(model)
    joint, joint_loss = gradients(fabric, name, twin, Batching(step, step), wrapped=Joint(twin))
    fast, loss = gradients(fabric, name, model, Batching(step, step, image=image, text=text))
    assert len(fast) == PAIRS // step
    torch.testing.assert_close(fast, joint, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(loss, joint_loss, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", BY_TOWER)
def test_a_tower_has_passes_of_its_own_size_and_goes_alone(fabric, name):
    """What the image tower made is gone when the text tower begins: no graph of the two together."""
    model, images, alive, sizes = student_for(name), [], [], {"image": set(), "text": set()}

    def image_made(tower, inputs, pooled):
        if torch.is_grad_enabled():
            sizes["image"].add(len(pooled))
            images.append(weakref.ref(pooled))

    def text_begun(tower, inputs):
        if torch.is_grad_enabled():
            sizes["text"].add(len(inputs[0]))
            alive.extend(ref for ref in images if ref() is not None)

    model.image.register_forward_hook(image_made)
    model.text.register_forward_pre_hook(text_begun)
    gradients(fabric, name, model, Batching(4, 4 if name == "moco" else PAIRS, image=2, text=1))
    assert sizes == {"image": {2}, "text": {1}}
    assert images
    assert not alive


def test_the_live_term_needs_both_towers_at_once(fabric):
    method = msd(fabric, tiny_model(), live_share=0.3)
    assert not method.by_tower
    assert msd(fabric, tiny_model()).by_tower


def test_the_shares_of_short_passes_add_up(fabric):
    """8 pairs by threes and fives: each pass weighs its pairs, so the loss is that of one pass."""
    _, whole = gradients(fabric, "msd", student_for("msd"), Batching(PAIRS, PAIRS))
    _, split = gradients(fabric, "msd", student_for("msd"), Batching(PAIRS, PAIRS, image=3, text=5))
    torch.testing.assert_close(split, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("live_share", [0.0, 0.3])
@pytest.mark.parametrize("name", ["clip", *BY_TOWER])
def test_what_a_plan_takes_for_one_tower_at_a_time_is_what_goes_so(fabric, name, live_share):
    recipe = tiny_recipe(objective=name, live_share=live_share)
    method = make_method(recipe, tiny_model(recipe), fabric)
    assert by_tower(recipe) == (isinstance(method, ByTower) and method.by_tower)


def test_a_pass_that_is_longer_than_its_step_is_halved_from_the_step(fabric):
    """Halved from what the recipe says, some retries would be of the very same size."""
    model, sizes = tiny_model().double(), []
    embed = model.embed_images

    def short(images):
        sizes.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(images)

    model.embed_images = short
    gradients(fabric, "msd", model, Batching(2, 2, image=64))
    assert sizes[:3] == [2, 1, 1]
