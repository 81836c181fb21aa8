import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from medistill.engine.plan.plan import (
    MARGIN,
    Plan,
    enough,
    growing,
    make_plan,
    run_probe,
    window_bytes,
    with_micro_batch,
)
from medistill.engine.plan.probe import Measure, model_at_random, probed_window, synthetic_window
from medistill.engine.plan.probe import _train as trained
from medistill.engine.plan.report import as_json, summary
from medistill.errors import CallError, MedistillError
from medistill.html.words import in_units
from medistill.recipe import Encoder, Recipe
from medistill.system.memory import parse_memory
from tests.cli.test_cli import call, one_line
from tests.conftest import tiny_recipe

MB = 10**6

TRAIN_AND_TELL_THE_PEAK = """
import atexit, torch
from medistill.cli import main
from medistill.system.memory import peak_bytes
atexit.register(lambda: print(peak_bytes(torch.device("cpu"))))
main()
"""
"""getrusage's peak of a child starts at its parent's own; that in the kernel's status file does not."""


def measure(micro_batch: int, peak: int, weights: int = 0, available: int = 10**12) -> Measure:
    return Measure(
        micro_batch=micro_batch,
        peak=peak,
        libraries=100 * MB,
        weights=weights,
        seconds_a_pair=0.1,
        seconds_a_step=0.4,
        available=available,
        device="CPU",
        precision="32-true",
    )


def planned(recipe: Recipe, *, memory: int = 1000 * MB, pairs: int = 0, weights: int = 0) -> Plan:
    """Measures on a line of 300 MB and 20 MB a pair, what the window takes added."""
    measures = []
    for size in (2, 4):
        taken = window_bytes(with_micro_batch(recipe, size), probed_window(with_micro_batch(recipe, size)), 0)
        measures.append(measure(size, (300 + 20 * size) * MB + taken, weights))
    return Plan(recipe, memory, True, tuple(measures), pairs)


def test_the_peak_is_predicted_from_the_line_and_the_window():
    recipe = tiny_recipe(window=64, micro_batch=8)
    plan = planned(recipe)
    assert plan.line == (pytest.approx(300 * MB), pytest.approx(20 * MB))
    assert plan.peak(8) == pytest.approx(460 * MB + window_bytes(recipe, 64, 0), abs=2)


def test_the_largest_micro_batch_fits_with_the_margin_and_the_next_does_not():
    plan = planned(tiny_recipe(window=512, micro_batch=8))
    assert plan.peak(plan.largest) <= (1 - MARGIN) * plan.memory < plan.peak(plan.largest + 1)


def test_the_largest_micro_batch_is_no_larger_than_the_window():
    assert planned(tiny_recipe(window=16, micro_batch=8)).largest == 16


def test_a_recipe_that_does_not_fit_is_planned_at_the_largest_that_does():
    recipe = tiny_recipe(window=512, micro_batch=256, micro_per_step=2)
    plan = planned(recipe)
    assert plan.planned.micro_batch == plan.largest < 256
    assert f"--micro-batch {plan.largest}" in summary(plan)[-1]
    assert not as_json(plan)["fits"]


def by_tower(recipe: Recipe, image: int, text: int) -> Plan:
    """The same where an image takes `image` MB and a text `text`; the larger makes the line."""
    plan = planned(recipe)
    alone = {"image": max(image, text // 4), "text": max(text, image // 4)}
    last = plan.measures[-1]
    taken = last.peak - 80 * MB
    towers = {name: measure(4, taken + 4 * each * MB) for name, each in alone.items()}
    return dataclasses.replace(plan, towers=towers)


def test_each_tower_is_planned_with_passes_of_its_own_and_the_steps_stay():
    recipe = tiny_recipe(window=512, micro_batch=256)
    plan = by_tower(recipe, image=20, text=5)
    images, texts = plan.largest_pass("image"), plan.largest_pass("text")
    assert images == plan.largest < 256
    assert texts == pytest.approx(4 * images, abs=4)
    assert plan.planned == dataclasses.replace(recipe, image_micro_batch=images, text_micro_batch=texts)
    assert f"--image-micro-batch {images} --text-micro-batch {texts}" in summary(plan)[-1]
    assert as_json(plan)["largest_text_micro_batch"] == texts


def test_a_towers_passes_are_no_larger_than_an_optimizer_step():
    assert by_tower(tiny_recipe(window=512, micro_batch=8), image=20, text=5).largest_pass("text") == 8


def test_passes_that_the_recipe_names_and_that_fit_are_left_as_they_are():
    recipe = tiny_recipe(window=512, micro_batch=256, image_micro_batch=8, text_micro_batch=16)
    plan = by_tower(recipe, image=20, text=5)
    assert plan.planned == recipe
    assert as_json(plan)["fits"]


def test_a_plan_measures_micro_batches_whole_whatever_passes_are_named():
    recipe = tiny_recipe(window=64, micro_batch=8, image_micro_batch=2, text_micro_batch=1)
    whole = with_micro_batch(recipe, 16)
    assert (whole.micro_batch, whole.image_micro_batch, whole.text_micro_batch) == (16, 0, 0)


@pytest.mark.parametrize("objective", ["clip", "msd"])
def test_a_probe_that_had_to_shrink_its_passes_is_out_of_memory(fabric, objective):
    recipe = tiny_recipe(objective=objective)
    model = model_at_random(recipe)
    embed = model.embed_images

    def short(images):
        if len(images) > 2 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(images)

    model.embed_images = short
    with pytest.raises(torch.OutOfMemoryError):
        trained(fabric, recipe, model)


def test_validation_may_take_more_than_training():
    plan = dataclasses.replace(planned(tiny_recipe(micro_batch=1)), validation=700 * MB)
    assert plan.peak(1) == 700 * MB
    assert dataclasses.replace(plan, validation=950 * MB).largest == 0


def test_freed_memory_that_a_process_keeps_is_added_to_the_line():
    plan = planned(tiny_recipe(window=64, micro_batch=8))
    last = plan.measures[-1]
    usual = dataclasses.replace(last, peak=last.peak + 50 * MB, seconds_a_pair=0.01)
    kept = dataclasses.replace(plan, usual=usual)
    assert kept.peak(4) == plan.peak(4) + 50 * MB
    assert kept.peak(16) == plan.peak(16) + 100 * MB
    assert kept.pairs_per_second > plan.pairs_per_second


def test_pairs_per_second_share_an_optimizer_step_among_its_pairs():
    recipe = tiny_recipe(window=64, micro_batch=4, micro_per_step=4)
    assert planned(recipe).pairs_per_second == pytest.approx(1 / (0.1 + 0.4 / 16))
    told = as_json(planned(recipe, pairs=1000))
    assert told["seconds_per_epoch"] == pytest.approx(1000 * (0.1 + 0.4 / 16))


def test_another_micro_batch_keeps_the_pairs_of_an_optimizer_step():
    recipe = tiny_recipe(window=64, micro_batch=8, micro_per_step=4)
    assert with_micro_batch(recipe, 4).micro_per_step == 8
    assert with_micro_batch(recipe, 64).micro_per_step == 1


def test_keys_of_the_window_and_the_queue_count():
    recipe = tiny_recipe()
    small = window_bytes(recipe, 100, 0)
    assert window_bytes(recipe, 200, 0) == 2 * small
    assert window_bytes(recipe, 100, 50) > small
    square = dataclasses.replace(recipe, objective="gradcache")
    assert window_bytes(square, 2000, 0) > 3.5 * window_bytes(square, 1000, 0)


def test_measuring_starts_at_an_eighth_and_doubles_up_to_the_window():
    assert list(growing(tiny_recipe(window=64, micro_batch=16))) == [2, 4, 8, 16, 32, 64]
    assert next(growing(tiny_recipe(micro_batch=1))) == 1


def test_the_line_is_not_drawn_while_gradients_outweigh_activations():
    recipe = tiny_recipe(window=64, micro_batch=4)
    assert enough(planned(recipe, weights=40 * MB), seconds=0.0)
    assert not enough(planned(recipe, weights=41 * MB), seconds=1e9)


def test_the_recipes_own_micro_batch_is_measured_where_that_is_quick():
    plan = planned(tiny_recipe(window=64, micro_batch=8))
    assert not enough(plan, seconds=1.0)
    assert enough(plan, seconds=1000.0)


def test_no_measure_is_begun_that_the_machine_may_not_survive():
    plan = planned(tiny_recipe(window=64, micro_batch=8))
    tight = dataclasses.replace(plan.measures[-1], available=plan.measures[-1].peak * 3 // 2)
    assert enough(dataclasses.replace(plan, measures=(tight,)), seconds=0.0)


def test_the_synthetic_window_has_texts_of_the_greatest_length_and_pairs_of_their_own():
    recipe = tiny_recipe(max_tokens=11)
    window = synthetic_window(recipe, model_at_random(recipe), 6)
    assert window.tokens.shape == (6, 11)
    assert window.mask.all()
    assert len(set(window.text.tolist())) == len(set(window.study.tolist())) == 6


def test_the_measured_model_has_a_vocabulary_of_full_size():
    model = model_at_random(tiny_recipe(vocabulary=777))
    assert model.text.backbone.embeddings.word_embeddings.num_embeddings == 777


@pytest.mark.parametrize(
    ("text", "size"),
    [("11GB", 11 * 10**9), ("11GiB", 11 * 2**30), ("800 mb", 800 * MB), ("1.5GB", 1500 * MB)],
)
def test_memory_is_read_with_its_unit(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["11", "GB", "-3GB", "0GB", "11 gigs", "IB", "1IB"])
def test_memory_that_cannot_be_read_is_one_line_that_shows_how(text, capsys):
    with pytest.raises(CallError, match="such as 11GB"):
        parse_memory(text)
    assert call("plan", "quickstart", f"--memory={text}") == 2
    assert "--memory is" in one_line(capsys)


def test_bytes_are_written_for_people():
    assert in_units(11.24e9) == "11.2 GB"
    assert in_units(840e6) == "840 MB"


@pytest.mark.slow
def test_a_failing_measure_is_the_error_training_would_give():
    with pytest.raises(CallError, match="no model in"):
        run_probe(tiny_recipe(init="/nowhere"))


def test_not_even_one_pair_is_said_in_one_line(capsys, monkeypatch):
    def measured(recipe: Recipe, **_: bool) -> Measure:
        return measure(recipe.micro_batch, (300 + 20 * recipe.micro_batch) * MB)

    monkeypatch.setattr(sys.modules[make_plan.__module__], "run_probe", measured)
    assert call("plan", "quickstart", "--micro-batch", "1", "--window", "4", "--memory", "100MB") == 1
    line = one_line(capsys)
    assert "not even a micro-batch of one pair fits into 100 MB" in line
    assert "it takes" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "objective"),
    [("quickstart", "msd"), ("quickstart", "clip"), ("quickstart", "gradcache"), ("small", "msd")],
)
def test_the_predicted_peak_is_within_a_tenth_of_that_of_a_real_run(
    tmp_path, tiny_corpus, capsys, name, objective
):
    """The towers of `small` pass one at a time. What is printed is what was measured and assumed."""
    flags = ("--window", 32, "--min-patients", 1, "--max-tokens", 8, "--objective", objective)
    command = ["train", name, "--data", tiny_corpus, "--out", tmp_path / "run", *flags, "--epochs", 8]
    run = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_TELL_THE_PEAK, *map(str, command)],
        stdout=subprocess.PIPE,
        check=True,
    )
    real = int(run.stdout.split()[-1])
    assert call("plan", name, "--data", tiny_corpus, *flags, "--memory", "2GiB", "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["peak_bytes"] == pytest.approx(real, rel=0.1)
    assert 0 < told["library_bytes"] < told["peak_bytes"] < told["memory_bytes"] == 2 * 2**30
    assert told["largest_micro_batch"] == 32
    assert told["pairs_per_epoch"] == 40
    assert told["seconds_per_epoch"] == pytest.approx(40 / told["pairs_per_second"])
    assert "assumed" in captured.err
    assert "asked for" in captured.err


@pytest.mark.slow
def test_checkpointing_lowers_the_peak_that_is_really_measured():
    shape = {"hidden_size": 96, "num_attention_heads": 2, "intermediate_size": 384, "patch_size": 8}
    vit = Encoder(type="vit", config={**shape, "num_hidden_layers": 12})
    deep = tiny_recipe(image=vit, size=128, window=8, micro_batch=8, objective="clip")
    peaks = []
    for checkpointing in (False, True):
        measured = run_probe(dataclasses.replace(deep, checkpoint_activations=checkpointing), tidy=True)
        assert measured is not None
        peaks.append(measured.peak - measured.libraries)
    assert peaks[1] < 0.5 * peaks[0]


@pytest.mark.slow
def test_a_process_that_had_to_be_killed_did_not_fit(tmp_path, monkeypatch):
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\ncat > /dev/null\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    assert run_probe(tiny_recipe()) is None
    with pytest.raises(MedistillError, match="not even"):
        make_plan(tiny_recipe())
