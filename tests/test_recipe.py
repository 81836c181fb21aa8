"""Every shipped recipe builds its model and starts without a false alarm."""

import dataclasses
import json
import shutil

import pytest

from medistill.data.prepare import prepare
from medistill.data.sources import PhantomSource
from medistill.engine.collapse import EARLIEST, PATIENCE
from medistill.engine.track import read_track
from medistill.errors import CallError
from medistill.pretrain import pretrain
from medistill.recipe import RECIPES, from_config, read_config, to_config
from tests.conftest import tiny_recipe


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_field_of_a_recipe_survives_its_config_file(name):
    recipe = RECIPES[name]()
    assert recipe.name == name
    assert from_config(json.loads(json.dumps(to_config(recipe)))) == recipe


def test_a_config_of_an_earlier_version_lacks_what_was_added_to_towers():
    config = json.loads(json.dumps(to_config(tiny_recipe())))
    for tower in ("image", "text"):
        del config[tower]["locked"], config[tower]["lora_rank"]
    assert from_config(config) == tiny_recipe()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_no_recipe_raises_a_false_alarm_from_its_random_start(name, tmp_path):
    """Small towers go on beyond the step from which collapse can be declared, large ones only start."""
    large = RECIPES[name]().size == 224
    micro_per_step = min(RECIPES[name]().micro_per_step, 2)
    prepare(PhantomSource(count=80 if large else 400), tmp_path / "corpus")
    recipe = dataclasses.replace(
        RECIPES[name](),
        size=64,
        window=32 if large else 64,
        micro_batch=16 if large else 4,
        micro_per_step=micro_per_step,
        max_tokens=16 if large else RECIPES[name]().max_tokens,  # at 128, texts take four fifths of the time
        epochs=1 if large else 6 * micro_per_step,
        validate_every=1.0 if large else 0.5 * micro_per_step,
        workers=0,
    )
    pretrain(recipe, tmp_path / "corpus", tmp_path / "run", watch=lambda *event: None)
    steps = [line["step"] for line in read_track(tmp_path / "run") if "val/loss" in line]
    shutil.rmtree(tmp_path / "run")  # a large recipe's checkpoint takes 2 GB
    assert len(steps) >= recipe.epochs
    assert large or sum(step >= EARLIEST for step in steps) >= PATIENCE


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": 3}', "\ufffe"])
def test_a_damaged_config_file_is_one_clear_line(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CallError, match=r"damaged or of another version|has other fields"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 1.5},
        {"augment_strength": 3.5},
        {"micro_batch": 9},
        {"micro_per_step": 3},
        {"epochs": 0},
        {"lr": 0.0},
        {"momentum": -0.1},
        {"queue": -1},
        {"seed": -1},
        {"vocabulary": 0},
        {"max_tokens": 2},
        {"alpha_ramp": float("nan")},
        {"lr": float("inf")},
    ],
)
def test_a_value_no_run_can_use_is_an_error_that_names_the_field(change):
    with pytest.raises(CallError, match=next(iter(change))):
        dataclasses.replace(tiny_recipe(), **change)
