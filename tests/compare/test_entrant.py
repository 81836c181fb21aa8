"""Labels, settings, and what is wrong with them."""

import json

import pytest

from medistill.compare.entrant import make_entrants, objectives, read_settings
from medistill.errors import CallError
from medistill.recipe import RECIPES
from tests.conftest import tiny_recipe


def one(label, fields):
    return make_entrants(tiny_recipe(), [label], {label: fields})[0].recipe


def test_every_objective_of_the_recipe_may_take_part():
    entrants = make_entrants(tiny_recipe(), objectives(), {})
    assert [entrant.recipe.objective for entrant in entrants] == list(objectives())
    assert RECIPES["small"]().objective in objectives()


def test_a_label_of_ones_own_names_its_objective_and_settings():
    recipe = one("msd-16", {"objective": "msd", "window": 16, "lr": 1})
    assert (recipe.objective, recipe.window, recipe.lr) == ("msd", 16, 1.0)
    assert recipe.dim == tiny_recipe().dim


def test_a_towers_fields_are_set_one_by_one():
    recipe = one("clip", {"text": {"pooling": "cls"}})
    assert (recipe.text.pooling, recipe.text.type) == ("cls", "bert")
    recipe = one("clip", {"head": "gated", "text": {"lora_rank": 8}, "image": {"lora_rank": 4}})
    assert (recipe.head, recipe.text.lora_rank, recipe.image.lora_rank) == ("gated", 8, 4)


def test_a_tower_may_be_locked_for_one_entrant_alone():
    recipe = one("clip", {"image": {"locked": True}, "text": {"frozen_layers": 1}})
    assert (recipe.image.locked, recipe.text.locked, recipe.text.frozen_layers) == (True, False, 1)
    with pytest.raises(CallError, match="it must be true or false"):
        one("clip", {"image": {"locked": 1}})


@pytest.mark.parametrize(
    ("label", "fields", "said"),
    [
        ("klip", {}, "'klip' is no objective"),
        ("mine", {"window": 16}, "names one of them"),
        ("msd", {"windw": 16}, "no field 'windw'"),
        ("msd", {"window": 16.0}, "window is 16.0; it must be a whole number"),
        ("msd", {"window": True}, "window is true"),
        ("msd", {"lr": "1e-3"}, 'lr is "1e-3"; it must be a number'),
        ("msd", {"lr": -1.0}, "msd: lr is -1.0; it must be above 0"),
        ("msd", {"channels": 2}, "it must be one of 1, 3"),
        ("msd", {"channels": True}, "it must be one of 1, 3"),
        ("msd", {"head": "round"}, 'it must be one of "linear", "gated"'),
        ("msd", {"text": {"depth": 2}}, "text has no field 'depth'"),
        ("msd", {"text": "bert"}, "an object of its fields"),
        ("msd", {"epochs": 9}, "epochs is set by the budget"),
        ("msd", {"seed": 9}, "seed is set by --seeds"),
        ("../msd", {"objective": "msd"}, "letters, digits"),
    ],
)
def test_what_cannot_be_is_one_line(label, fields, said):
    with pytest.raises(CallError, match=said.replace("(", r"\(")):
        one(label, fields)


def test_a_slip_in_settings_that_are_not_used_is_not_passed_over():
    with pytest.raises(CallError, match="no field 'lrr'"):
        make_entrants(tiny_recipe(), ["clip"], {"msd": {"lrr": 1.0}})


def test_an_objective_takes_part_once():
    with pytest.raises(CallError, match="msd more than once"):
        make_entrants(tiny_recipe(), ["msd", "clip", "msd"], {})


@pytest.mark.parametrize("content", ["{", "[]", '{"msd": 3}'])
def test_a_file_of_no_settings_is_one_line(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(CallError, match="settings"):
        read_settings(path)


def test_settings_are_read_from_json(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"msd": {"window": 16}}))
    assert read_settings(path) == {"msd": {"window": 16}}
