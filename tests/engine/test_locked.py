"""Towers frozen in part or locked: the gradient of the others is that of towers which learn whole."""

import copy
import dataclasses

import pytest
import torch

from medistill.engine.objectives import make_method
from medistill.engine.passes import Passes
from medistill.engine.step import Batching, train_window, with_frozen_parts
from medistill.model.encoder import ImageTower
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.graphs_again import Again
from tests.engine.test_step import PAIRS, Steps

TEXT = tiny_recipe().text
TWO_LAYERS = Encoder(type="bert", config={**TEXT.config, "num_hidden_layers": 2})
KINDS = {
    "both in part": {"image": {"frozen_layers": 1}, "text": {"frozen_layers": 1}},
    "images": {"image": {"locked": True}},
    "both": {"image": {"locked": True}, "text": {"locked": True}},
    "images and texts in part": {"image": {"locked": True}, "text": {"frozen_layers": 1}},
}
OBJECTIVES = {
    "msd": {"alpha": 0.3, "alpha_ramp": 0.0},
    "msd with a live term": {"live_share": 0.4, "objective": "msd"},
    "moco": {"queue": 6, "queue_warmup": 0.0},
    "clip": {},
    "fastclip": {"fastclip_version": "v3"},
    "gradcache": {},
    "siglip": {"bias": -2.0},
}


def recipe_of(objective, kind="", **changes):
    recipe = tiny_recipe(text=TWO_LAYERS, **{"objective": objective, **OBJECTIVES[objective], **changes})
    frozen = KINDS.get(kind, {})
    towers = {name: dataclasses.replace(getattr(recipe, name), **own) for name, own in frozen.items()}
    return dataclasses.replace(recipe, **towers)


def trained(fabric, recipe, model, *, passes=None, windows=1):
    """The gradients of some windows and their losses; the weights stay, but for the teacher's."""
    steps, method = Steps(model), make_method(recipe, model, fabric)
    if hasattr(method, "settings"):
        method.set_schedule(0.5, 1.0)
        method.settings = method.settings._replace(momentum=1.0)
    student = fabric.setup_module(model)
    losses = []
    for seed in range(windows):
        window = tiny_window(model, PAIRS, seed)
        step = Batching(3, 3 if recipe.objective in ("clip", "fastclip", "moco") else PAIRS)
        losses.append(
            train_window(fabric, student, method, window, batching=step, optimizer_step=steps, passes=passes)
        )
    return steps.gradients, losses


def model_of(recipe):
    return tiny_model(recipe).double().train()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_learns_gets_the_gradient_it_has_where_all_learns(fabric, objective, kind):
    whole, expected = trained(fabric, recipe_of(objective), model_of(recipe_of(objective)))
    recipe = recipe_of(objective, kind)
    model = model_of(recipe)
    found, losses = trained(fabric, recipe, model)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {"image_projection.weight", "text_projection.weight", "log_scale"} <= learning < set(whole[0])
    for mine, theirs in zip(found, whole, strict=True):
        assert mine.keys() == learning
        torch.testing.assert_close(mine, {name: theirs[name] for name in learning}, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", ["msd", "clip"])
def test_what_is_frozen_is_an_input_of_a_replayed_pass(fabric, objective, kind):
    recipe, again = recipe_of(objective, kind), Again()
    model = model_of(recipe)
    passes = Passes(fabric, lambda: again)
    fast, _ = trained(fabric, recipe, copy.deepcopy(model), passes=passes, windows=2)
    slow, _ = trained(fabric, recipe, model, windows=2)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)
    assert passes.new_capture
    assert again.replayed > again.captured


@pytest.mark.parametrize("kind", ["images", "both in part"])
def test_frozen_images_are_looked_at_once_a_window(fabric, kind, monkeypatch):
    recipe, seen = recipe_of("msd", kind), []
    model, lower = model_of(recipe), ImageTower.lower
    monkeypatch.setattr(ImageTower, "lower", lambda tower, x: seen.append(len(x)) or lower(tower, x))
    trained(fabric, recipe, model, windows=2)
    assert sum(seen) == 2 * PAIRS


def test_inputs_that_nobody_looks_at_any_more_are_dropped(fabric):
    model = model_of(recipe_of("msd", "both"))
    window = with_frozen_parts(fabric, fabric.setup_module(model), tiny_window(model), Batching(3, 8))
    assert window.images.numel() == window.tokens.numel() == window.mask.numel() == 0
    assert len(window) == PAIRS
    part = window.part(slice(2, 5), torch.device("cpu"))
    assert part.image_lower.shape == (3, 16)
    assert part.text_lower.shape == (3, 16)


def test_a_locked_tower_has_no_dropout_and_no_gradient_in_training():
    config = {**TEXT.config, "hidden_dropout_prob": 0.5}
    text = Encoder(type="bert", config=config, locked=True)
    model = tiny_model(tiny_recipe(text=text)).train()
    window = tiny_window(model)
    first, second = (model.embed_tokens(window.tokens, window.mask) for _ in range(2))
    assert torch.equal(first, second)
    first.sum().backward()
    assert model.text_projection.weight.grad is not None
    assert all(p.grad is None for p in model.text.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_teacher_has_the_students_locked_tower_and_leaves_it_alone(fabric, momentum):
    recipe = recipe_of("msd", "images", momentum=momentum, momentum_end=momentum)
    model = tiny_model(recipe).train()
    before = copy.deepcopy(model.state_dict())
    method = make_method(recipe, model, fabric)
    both = zip(method.teacher.image.parameters(), model.image.parameters(), strict=True)
    assert all(slow is fast for slow, fast in both)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)

    def step():
        optimizer.step()
        optimizer.zero_grad()
        return True

    method.set_schedule(0.5, 1.0)
    student = fabric.setup_module(model)
    for seed in range(2):
        train_window(
            fabric,
            student,
            method,
            tiny_window(model, PAIRS, seed),
            batching=Batching(4, 4),
            optimizer_step=step,
        )
    for one in (model, method.teacher):
        moved = {name for name, value in one.state_dict().items() if not torch.equal(value, before[name])}
        assert not any(name.startswith("image.") for name in moved)
        assert {"image_projection.weight", "text_projection.weight"} <= moved
