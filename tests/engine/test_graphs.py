"""Passes that are replayed: the same gradient, or none of them. A card is stood in for."""

import dataclasses
import logging
from unittest.mock import Mock

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from medistill.engine.graphs import CapturedPass, relative_error
from medistill.engine.objectives import make_method
from medistill.engine.passes import EXACT, ROUNDED, Passes, make_passes
from medistill.engine.shapes import padded, padded_lengths
from medistill.engine.step import Batching, train_window
from medistill.engine.tf32 import tf32
from medistill.model.tokenizer import pad_id
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.graphs_again import Again, Noisy, Refused, ShortOnce, Stale, TakenOver
from tests.engine.test_memory_shortage import short_of_memory
from tests.engine.test_step import Steps

OBJECTIVES = ("msd", "moco", "gradcache", "siglip", "clip", "live")


def recipe_of(name, **changes):
    if name == "live":
        return tiny_recipe(live_share=0.3, alpha_ramp=0.0, **changes)
    return tiny_recipe(objective=name, bias=-2.0, queue=6, queue_warmup=0.0, alpha_ramp=0.0, **changes)


def trained(fabric, name, batching, passes=None, *, windows=2, model=None, full=False, **changes):
    """The gradient of each step of some windows, the teacher moving on between them; and their losses.

    full   whether every text has all the tokens it may have
    """
    recipe = recipe_of(name, **changes)
    model = model or tiny_model(recipe).double()
    method, student = make_method(recipe, model, fabric), fabric.setup_module(model)
    steps, losses = Steps(model), []
    torch.manual_seed(1)
    for seed in range(windows):
        window = tiny_window(model, 8, seed)
        if full:
            window = padded(window, model.max_tokens, pad_id(model.tokenizer))
            window = dataclasses.replace(window, mask=torch.ones_like(window.mask))
        losses.append(
            train_window(
                fabric,
                student.train(),
                method,
                window,
                batching=batching,
                optimizer_step=steps,
                passes=passes,
            )
        )
    return steps.gradients, losses


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("micro", [1, 3, 4])
def test_replayed_passes_give_the_gradient_of_those_they_replace(fabric, name, micro):
    """3 leaves a short last micro-batch of 2, which is not replayed."""
    per_step = micro if name in ("moco", "clip") else 8
    again = Again()
    fast, losses = trained(fabric, name, Batching(micro, per_step), Passes(fabric, lambda: again))
    slow, expected = trained(fabric, name, Batching(micro, per_step))
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6)
    assert again.replayed > 4 * again.captured


@pytest.mark.parametrize("name", ["msd", "gradcache", "clip"])
def test_dropout_falls_as_it_does_without_graphs(fabric, name):
    """And the trials before the first step leave the random state as they found it.

    Texts are whole, since padding alone makes dropout fall otherwise.
    """
    text = tiny_recipe().text
    dropping = {
        "full": True,
        "text": Encoder(type="bert", config={**text.config, "hidden_dropout_prob": 0.3}),
    }
    batching = lambda: Batching(4, 4 if name == "clip" else 8)  # noqa: E731
    passes = Passes(fabric, Again)
    fast, _ = trained(fabric, name, batching(), passes, **dropping)
    slow, _ = trained(fabric, name, batching(), **dropping)
    assert passes.new_capture
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)


def test_frozen_text_layers_are_inputs_of_a_replayed_pass(fabric):
    text = tiny_recipe().text
    frozen = Encoder(type="bert", config={**text.config, "num_hidden_layers": 2}, frozen_layers=1)
    fast, _ = trained(fabric, "msd", Batching(4, 8), Passes(fabric, Again), text=frozen)
    slow, _ = trained(fabric, "msd", Batching(4, 8), text=frozen)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)


def test_each_pass_is_captured_once_however_many_windows_follow(fabric):
    made = []
    passes = Passes(fabric, lambda: made.append(Again()) or made[-1])
    trained(fabric, "msd", Batching(4, 8), passes, windows=4)
    lengths = len(padded_lengths(16))
    # The student's two towers forward and backward, the teacher's forward; texts at every length.
    assert [one.captured for one in made] == [3 * (1 + lengths)]
    assert made[0].warmed == 2 * (1 + lengths)


def test_towers_whose_activations_are_alive_at_once_have_memory_of_their_own(fabric):
    made = []
    passes = Passes(fabric, lambda: made.append(Again()) or made[-1])
    trained(fabric, "clip", Batching(4, 4), passes)
    assert [one.captured for one in made] == [2, 2 * len(padded_lengths(16))]


@pytest.mark.parametrize("wrong", [TakenOver, Stale, Noisy])
@pytest.mark.parametrize("name", ["msd", "clip"])
def test_graphs_that_give_another_gradient_are_left_off_with_one_line(fabric, name, wrong, caplog):
    passes = Passes(fabric, wrong)
    with caplog.at_level(logging.WARNING):
        gradient, _ = trained(fabric, name, Batching(4, 4), passes)
    slow, _ = trained(fabric, name, Batching(4, 4))
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert "tower's gradient is off by" in caplog.text
    assert passes.new_capture is None
    torch.testing.assert_close(gradient, slow, rtol=1e-10, atol=1e-12)


def test_a_gradient_that_is_taken_over_is_right_after_one_micro_batch():
    """A trial of one alone would let it pass: this is why there are two."""
    weight, ones = nn.Parameter(torch.ones(3, 2)), torch.ones(2, 2)
    sums = {weight: torch.zeros(3, 2)}
    one = CapturedPass(lambda x: x @ weight, [torch.ones(2, 3)], ones, sums)
    one.capture(TakenOver())
    one.forward([torch.ones(2, 3)])
    one.backward(ones)
    assert torch.equal(sums[weight], torch.full((3, 2), 2.0))
    one.forward([torch.ones(2, 3)])
    one.backward(ones)
    assert torch.equal(sums[weight], torch.full((3, 2), 2.0))  # not 4


def test_what_cannot_be_captured_is_said_once_in_one_line(fabric, caplog):
    passes = Passes(fabric, Refused)
    with caplog.at_level(logging.WARNING):
        gradient, _ = trained(fabric, "msd", Batching(4, 8), passes, windows=3)
    slow, _ = trained(fabric, "msd", Batching(4, 8), windows=3)
    said = "CUDA graphs are left off (operation not permitted when stream is capturing): "
    assert [record.getMessage() for record in caplog.records] == [f"{said}training goes on without them"]
    torch.testing.assert_close(gradient, slow, rtol=1e-10, atol=1e-12)


def test_out_of_memory_drops_what_was_captured_and_halves_the_tower_that_failed(fabric, monkeypatch):
    again, batching = Again(), Batching(4, 8)
    passes = Passes(fabric, lambda: again)
    model = tiny_model(recipe_of("msd")).double()
    trained(fabric, "msd", batching, passes, model=model)
    replayed, held = again.replayed, []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held.append(len(passes._captured)))
    short_of_memory(model, 2)
    fast, _ = trained(fabric, "msd", batching, passes, model=model)
    slow, _ = trained(fabric, "msd", Batching(4, 8))
    assert (batching.size("image"), batching.size("text")) == (2, 4)
    assert held == [0]  # what is freed includes the graphs' memory
    assert again.replayed > 2 * replayed
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def test_memory_that_runs_out_while_capturing_halves_too(fabric, monkeypatch):
    monkeypatch.setattr(ShortOnce, "asked", 0)
    passes, batching = Passes(fabric, ShortOnce), Batching(4, 8)
    fast, _ = trained(fabric, "msd", batching, passes)
    slow, _ = trained(fabric, "msd", Batching(4, 8))
    assert (batching.size("image"), batching.size("text"), batching.micro) == (2, 4, 4)
    assert passes.new_capture
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def test_memory_that_runs_out_for_the_teacher_halves_the_micro_batch(fabric, monkeypatch):
    embed, asked, batching = Passes.embed, [], Batching(4, 8)

    def short(passes, model, tower, part):
        asked.append(len(part))
        if len(asked) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(passes, model, tower, part)

    monkeypatch.setattr(Passes, "embed", short)
    fast, _ = trained(fabric, "msd", batching, Passes(fabric, Again))
    slow, _ = trained(fabric, "msd", Batching(4, 8))
    assert (batching.micro, batching.image, batching.text) == (2, 0, 0)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def test_what_a_replay_gave_outlives_the_next():
    place = torch.zeros(2, 1)
    one = CapturedPass(lambda x: place.copy_(x), [torch.zeros(2, 1)], torch.zeros(2, 1), {})
    one.capture(Again())
    first = one.forward([torch.ones(2, 1)])
    one.forward([torch.full((2, 1), 2.0)])
    assert first.tolist() == [[1.0], [1.0]]


def test_a_capture_leaves_no_nodes_of_autograd_behind():
    """A weight's node keeps the stream it was made on: of the capture, for passes kernel by kernel too."""
    weight = nn.Parameter(torch.ones(2, 2))
    sums = {weight: torch.zeros(2, 2)}
    one = CapturedPass(lambda x: x @ weight, [torch.ones(1, 2)], torch.ones(1, 2), sums)

    def notes():
        return weight.expand_as(weight).grad_fn.next_functions[0][0].metadata

    one.warm(Again())
    notes()["made"] = "in the warm-up"
    assert notes()
    one.capture(Again())
    assert not notes()


def test_an_error_is_relative_to_all_tensors_together():
    expected = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    assert relative_error([torch.tensor([3.0, 0.5]), torch.tensor([[4.0]])], expected) == pytest.approx(0.1)
    assert not relative_error([torch.tensor([torch.nan, 0.0]), torch.tensor([[4.0]])], expected) <= EXACT
    assert relative_error([], []) == 0.0


@pytest.mark.parametrize(
    ("most", "lengths"), [(3, [3]), (16, [8, 16]), (96, [24, 48, 72, 96]), (100, [32, 64, 96, 100])]
)
def test_texts_are_padded_to_a_few_lengths(most, lengths):
    assert padded_lengths(most) == lengths


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_changes_neither_embeddings_nor_gradients(kind, pooling):
    shape = tiny_recipe().text.config if kind != "distilbert" else {"dim": 16, "n_layers": 1, "n_heads": 2}
    text = Encoder(type=kind, config=shape, pooling=pooling)
    model = tiny_model(tiny_recipe(text=text, max_tokens=24)).double().eval()
    part = tiny_window(model)
    asked = torch.randn(8, model.dim, dtype=torch.float64)

    def outcome(window):
        model.zero_grad()
        rows = model.embed_tokens(window.tokens, window.mask)
        rows.backward(asked)
        return rows.detach(), {
            name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
        }

    plain = outcome(part)
    for tokens in padded_lengths(24):
        if tokens >= part.tokens.shape[1]:
            longer = outcome(padded(part, tokens, pad_id(model.tokenizer)))
            torch.testing.assert_close(longer, plain, rtol=1e-10, atol=1e-12)


def on(device, precision="bf16-mixed"):
    """A Fabric there, as far as one needs no such device."""
    fabric = Mock(spec=Fabric)
    fabric.device = torch.device(device)
    fabric.strategy.precision.precision = precision
    return fabric


def test_graphs_are_for_a_card_and_can_be_turned_off():
    assert make_passes(tiny_recipe(), on("cuda")).new_capture
    assert make_passes(tiny_recipe(graphs="off"), on("cuda")).new_capture is None
    assert make_passes(tiny_recipe(), on("cpu")).new_capture is None
    for change in ({"checkpoint_activations": True}, {"compile": "eager"}):
        assert make_passes(dataclasses.replace(tiny_recipe(), **change), on("cuda")).new_capture is None


def test_a_float32_run_on_a_card_alone_may_use_tf32():
    assert Passes(on("cuda", "32-true")).tf32
    assert not Passes(on("cuda")).tf32
    assert not Passes(on("cpu", "32-true")).tf32
    assert Passes(on("cuda", "32-true")).tolerance == ROUNDED
    assert Passes(on("cpu", "32-true")).tolerance == EXACT


@pytest.mark.parametrize("name", ["msd", "clip", "gradcache"])
def test_tf32_is_for_the_towers_and_never_for_a_loss(fabric, name, monkeypatch):
    seen = {"tower": set(), "loss": set()}

    def note(where):
        seen[where].add((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))

    def noted(tower, inputs, rows):
        note("tower")
        if rows.requires_grad:
            rows.register_hook(lambda gradient: note("tower"))

    model = tiny_model(recipe_of(name)).double()
    model.image.register_forward_hook(noted)
    exp = torch.Tensor.exp

    def noting(scale):  # the student's, which belongs to its loss
        scaled = exp(scale)
        if scaled.requires_grad:
            note("loss")
            scaled.register_hook(lambda gradient: note("loss"))
        return scaled

    passes = Passes(fabric)
    passes.tf32 = True
    monkeypatch.setattr(torch.Tensor, "exp", noting)
    with tf32(True):  # as a user may have set it
        trained(fabric, name, Batching(4, 4 if name == "clip" else 8), passes, model=model)
    assert seen == {"tower": {(True, True)}, "loss": {(False, False)}}
    assert not torch.backends.cuda.matmul.allow_tf32
