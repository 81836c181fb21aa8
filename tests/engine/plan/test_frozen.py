"""Plans of towers that are frozen in part or locked."""

import dataclasses

import pytest

from medistill.engine.plan.plan import _validation_counts as validation_counts
from medistill.engine.plan.plan import run_probe, window_bytes
from medistill.engine.plan.probe import lower_bytes, model_at_random, synthetic_window
from medistill.engine.plan.report import assumptions
from medistill.recipe import RECIPES, Recipe
from tests.conftest import tiny_recipe
from tests.engine.plan.test_plan import MB, planned


def held(recipe: Recipe, **towers) -> Recipe:
    """With fields of its towers set."""
    own = {name: dataclasses.replace(getattr(recipe, name), **fields) for name, fields in towers.items()}
    return dataclasses.replace(recipe, **own)


def test_what_frozen_parts_make_of_a_window_counts():
    recipe = tiny_recipe(window=64, micro_batch=8)
    plan = planned(recipe)
    measures = [dataclasses.replace(m, lower=MB, peak=m.peak + 4 * m.micro_batch * MB) for m in plan.measures]
    frozen = dataclasses.replace(plan, measures=measures)
    assert frozen.line == (pytest.approx(plan.line[0]), pytest.approx(plan.line[1]))
    assert frozen.peak(8) == plan.peak(8) + 64 * MB


def test_inputs_of_locked_towers_are_not_in_the_window():
    recipe = tiny_recipe()
    images = held(recipe, image={"locked": True})
    both = held(images, text={"locked": True})
    assert window_bytes(recipe, 100, 0) - window_bytes(images, 100, 0) == 100 * recipe.size**2
    assert window_bytes(images, 100, 0) - window_bytes(both, 100, 0) == 100 * 9 * recipe.max_tokens


def test_a_validation_counts_where_a_tower_is_frozen_however_large_the_micro_batch():
    recipe = tiny_recipe(window=64, micro_batch=64)
    assert not validation_counts(planned(recipe))
    for towers in ({"image": {"locked": True}}, {"text": {"frozen_layers": 1}}):
        assert validation_counts(planned(held(recipe, **towers)))


def test_a_probe_is_given_features_as_a_run_is(fabric):
    recipe = held(tiny_recipe(), image={"locked": True}, text={"locked": True})
    model = model_at_random(recipe)
    window = synthetic_window(recipe, model, 6)
    assert window.images.numel() == window.tokens.numel() == 0
    assert window.image_lower.shape == (6, 16)
    assert lower_bytes(fabric, recipe, model) == 4 * (16 + 16)
    for changes in ({"section": "random"}, {"text_part": "sentences"}):
        drawn = synthetic_window(dataclasses.replace(recipe, **changes), model, 6)
        assert drawn.text_lower is None
        assert drawn.tokens.shape == (6, recipe.max_tokens)


def test_the_bytes_of_what_frozen_layers_make_are_measured(fabric):
    recipe = held(tiny_recipe(), image={"frozen_layers": 1}, text={"frozen_layers": 1})
    assert lower_bytes(fabric, recipe, model_at_random(recipe)) == 4 * (8 * 8 * 8 + recipe.max_tokens * 16)


def test_a_plan_of_a_locked_tower_says_what_it_leaves_out():
    said = [
        line for line in assumptions(planned(held(tiny_recipe(), text={"locked": True}))) if "kept" in line
    ]
    assert len(said) == 1


@pytest.mark.slow
def test_a_locked_tower_takes_no_gradient_moments_activations_or_time():
    recipe = dataclasses.replace(RECIPES["quickstart"](), window=32, micro_batch=8)
    whole, locked = (run_probe(one, tidy=True) for one in (recipe, held(recipe, image={"locked": True})))
    assert whole
    assert locked
    model = model_at_random(recipe)
    tower = sum(p.numel() * p.element_size() for p in model.image.parameters())
    assert whole.weights - locked.weights == tower
    saved = whole.peak - locked.peak
    assert saved > 3 * tower  # a gradient, two moments, the teacher's copy; the probe's noise is a tower
    assert locked.seconds_a_pair < 0.6 * whole.seconds_a_pair
