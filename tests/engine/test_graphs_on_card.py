"""What only a card can show: real graphs, and that nothing waits."""

import logging

import pytest
import torch
from lightning_fabric import Fabric

from medistill.engine.graphs import CudaCapture
from medistill.engine.objectives import make_method
from medistill.engine.optimizer import can_fuse, make_fabric, make_optimizer, scaler_of, take_step
from medistill.engine.passes import Passes, make_passes
from medistill.engine.step import Batching, train_window
from medistill.pretrain import pretrain
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.test_graphs import OBJECTIVES, recipe_of
from tests.engine.test_memory_shortage import short_of_memory
from tests.engine.test_step import Steps
from tests.test_pretrain import BrokenOff, assert_same_weights, break_off_after, silent

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs are captured on a CUDA card"),
]
DROPPING = Encoder(type="bert", config={**tiny_recipe().text.config, "hidden_dropout_prob": 0.1})


def pinned(window):
    """As the loader gives it for a card."""
    columns = (window.images, window.tokens, window.mask, window.study, window.text)
    return type(window)(*(x.pin_memory() for x in columns))


def gradients(fabric, name, passes, batching, *, model=None, text=DROPPING):
    """Of each step of three windows of 8 pairs, and what trained."""
    recipe = recipe_of(name, text=text)
    model = model or tiny_model(recipe)
    student = fabric.setup_module(model).train()
    if scaler := scaler_of(fabric):
        scaler.load_state_dict({**scaler.state_dict(), "scale": 256.0})  # its first one overflows here
    method, steps = make_method(recipe, model, fabric), Steps(model)
    torch.manual_seed(1)
    for seed in range(3):
        window = pinned(tiny_window(model, 8, seed))
        train_window(fabric, student, method, window, batching=batching, optimizer_step=steps, passes=passes)
    return steps.gradients


def length(gradient):
    return torch.cat([x.flatten().double() for x in gradient.values()]).norm()


def captured(fabric):
    return Passes(fabric, lambda: CudaCapture(fabric.device))


@pytest.mark.parametrize("precision", ["32", "bf16", "fp16"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_graphs_give_the_eager_gradient(name, precision):
    """Without dropout, which falls otherwise where texts are padded; 3 leaves a short last micro-batch."""
    fabric, text = make_fabric(precision), tiny_recipe().text
    batching = lambda: Batching(3, 3 if name in ("moco", "clip") else 8)  # noqa: E731
    passes = captured(fabric)
    fast = gradients(fabric, name, passes, batching(), text=text)
    slow = gradients(fabric, name, Passes(fabric), batching(), text=text)
    assert passes.new_capture, "graphs were left off"
    for mine, right in zip(fast, slow, strict=True):
        off = {name: mine[name] - right[name] for name in right}
        assert length(off) <= passes.tolerance * length(right)


@pytest.mark.parametrize("name", ["msd", "gradcache", "clip"])
def test_dropout_is_captured_and_draws_anew_at_each_replay(name):
    fabric = make_fabric("bf16")
    passes = captured(fabric)
    found = gradients(fabric, name, passes, Batching(4, 4 if name == "clip" else 8))
    again = gradients(fabric, name, captured(fabric), Batching(4, 4 if name == "clip" else 8))
    assert passes.new_capture
    for mine, same in zip(found, again, strict=True):
        assert length({key: mine[key] - same[key] for key in mine}) == 0
    assert length({key: found[0][key] - found[-1][key] for key in found[0]}) > 0


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_nothing_in_a_window_waits_for_the_card(name, precision):
    fabric, recipe = make_fabric(precision), recipe_of(name, text=DROPPING)
    model = tiny_model(recipe)
    method = make_method(recipe, model, fabric)
    optimizer = make_optimizer(model, lr=1e-3, weight_decay=0.1, fused=can_fuse(fabric))
    student, optimizer = fabric.setup(model, optimizer)
    passes, batching = captured(fabric), Batching(3, 3 if name in ("moco", "clip") else 8)

    def step():
        return take_step(fabric, student, optimizer, 1.0)

    windows = [pinned(tiny_window(model, 8, seed)) for seed in range(3)]
    try:
        for number, window in enumerate(windows):
            torch.cuda.set_sync_debug_mode("error" if number else "default")
            train_window(
                fabric,
                student.train(),
                method,
                window,
                batching=batching,
                optimizer_step=step,
                passes=passes,
            )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert passes.new_capture


@pytest.mark.parametrize(
    "change", [{}, {"objective": "gradcache"}, {"live_share": 0.3}, {"precision": "fp16"}]
)
def test_a_run_on_a_card_is_resumed_bitwise_with_graphs(tiny_corpus, tmp_path, change, caplog):
    recipe = tiny_recipe(**{"epochs": 3, "text": DROPPING, "micro_batch": 3, "micro_per_step": 2, **change})
    with caplog.at_level(logging.WARNING):
        pretrain(recipe, tiny_corpus, tmp_path / "one", watch=silent)
        with pytest.raises(BrokenOff):
            pretrain(recipe, tiny_corpus, tmp_path / "two", watch=break_off_after(5))
        pretrain(recipe, tiny_corpus, tmp_path / "two", watch=silent)
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    assert "left off" not in caplog.text


def test_graphs_give_their_memory_back_when_it_runs_out():
    fabric, batching = make_fabric("bf16"), Batching(4, 8)
    model, passes = tiny_model(tiny_recipe(size=64)), captured(fabric)
    gradients(fabric, "msd", passes, batching, model=model)
    held = torch.cuda.memory_reserved()
    short_of_memory(model, 2)
    passes.clear()
    model.zero_grad()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < held
    gradients(fabric, "msd", passes, batching, model=model)
    assert (batching.size("image"), batching.size("text")) == (2, 4)
    assert passes.new_capture


def test_a_run_whose_memory_is_held_goes_on_with_smaller_passes_and_graphs(caplog):
    """Really out of memory: the micro-batch of 512 images does not fit into what the process may take."""
    recipe = tiny_recipe(size=256, window=512, micro_batch=512)
    fabric, model = make_fabric("bf16"), tiny_model(recipe)
    student = fabric.setup_module(model).train()
    method, steps = make_method(recipe, model, fabric), Steps(model)
    window, batching = pinned(tiny_window(model, 512)), Batching(512, 512)
    passes = make_passes(recipe, fabric)
    whole = torch.cuda.get_device_properties(fabric.device).total_memory
    try:
        torch.cuda.empty_cache()
        # What libraries keep for every stream that ever captured is no part of it.
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 1e9) / whole)
        with caplog.at_level(logging.WARNING):
            train_window(
                fabric, student, method, window, batching=batching, optimizer_step=steps, passes=passes
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory: going on with image micro-batches" in caplog.text
    assert batching.size("image") < 512
    assert passes.new_capture


def test_a_capture_that_fails_leaves_training_and_dropout_as_they_were(caplog):
    """A wait for the card in the middle of a capture: torch then ends none of it in good order."""
    fabric = make_fabric("bf16")
    model = tiny_model(recipe_of("msd", text=DROPPING))
    whole = model.embed_images

    def waiting(images):
        float(images.sum())
        return whole(images)

    model.embed_images = waiting
    with caplog.at_level(logging.WARNING):
        found = gradients(fabric, "msd", passes := captured(fabric), Batching(4, 8), model=model)
    assert passes.new_capture is None
    assert caplog.text.count("left off") == 1
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert all(torch.isfinite(length(gradient)) for gradient in found)


def test_the_scaler_of_fp16_skips_a_step_that_overflows_and_trains_on():
    fabric = make_fabric("fp16")
    model = tiny_model(recipe_of("msd"))
    optimizer = make_optimizer(model, lr=1e-3, weight_decay=0.1, fused=can_fuse(fabric))
    assert not optimizer.param_groups[0]["fused"]
    student, optimizer = fabric.setup(model, optimizer)
    method, passes, taken = make_method(recipe_of("msd"), model, fabric), captured(fabric), []
    scaler_of(fabric).load_state_dict({**scaler_of(fabric).state_dict(), "scale": 2.0**60})

    def step():
        taken.append(take_step(fabric, student, optimizer, 1.0))
        return taken[-1]

    for seed in range(60):
        train_window(
            fabric,
            student.train(),
            method,
            pinned(tiny_window(model, 8, seed)),
            batching=Batching(4, 8),
            optimizer_step=step,
            passes=passes,
        )
    assert not taken[0]
    assert taken[-1]
    assert passes.new_capture
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_plain_fabric_may_be_used(fabric):
    """`train_window` without passes launches kernel by kernel, on whatever device."""
    card = Fabric(accelerator="cuda", devices=1)
    assert len(gradients(card, "msd", None, Batching(4, 8))) == 3
