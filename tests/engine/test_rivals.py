"""Every objective's gradient against the plain one: the whole batch at once, by autograd alone."""

import copy

import pytest
import torch
import torch.nn.functional as F

from medistill.engine.batching import chunk_rows
from medistill.engine.objectives import make_method, steps_every
from medistill.engine.step import Batching, train_window
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.test_step import Steps

PAIRS = 8


def plain_clip(image, text, scale, bias, positive):
    target = positive / positive.sum(dim=1, keepdim=True)
    return (
        F.cross_entropy(scale * image @ text.T, target) + F.cross_entropy(scale * text @ image.T, target)
    ) / 2


def plain_siglip(image, text, scale, bias, positive):
    sign = 2 * positive - 1
    return -F.logsigmoid(sign * (scale * image @ text.T + bias)).sum() / len(image)


PLAIN = {"gradcache": plain_clip, "siglip": plain_siglip}


def positives(window):
    same = (window.study[:, None] == window.study) | (window.text[:, None] == window.text)
    return same.double()


def gradient_by(fabric, recipe, model, *, micro, pairs=PAIRS):
    """(loss, gradient) of one optimizer step over a whole window."""
    steps = Steps(model)
    loss = train_window(
        fabric,
        fabric.setup_module(model),
        make_method(recipe, model, fabric),
        tiny_window(model, pairs),
        batching=Batching(micro, pairs),
        optimizer_step=steps,
    )
    return loss, steps.gradients[0]


@pytest.mark.parametrize("objective", ["gradcache", "siglip"])
@pytest.mark.parametrize("micro", [1, 3, 8])
def test_a_cached_gradient_is_that_of_the_whole_batch(fabric, objective, micro):
    recipe = tiny_recipe(objective=objective, bias=-2.0)
    model = tiny_model(recipe).double()
    window = tiny_window(model, PAIRS)
    expected = PLAIN[objective](*model(window.images, window.tokens, window.mask), positives(window))
    expected.backward()
    slow = {name: p.grad for name, p in model.named_parameters()}
    loss, fast = gradient_by(fabric, recipe, copy.deepcopy(model), micro=micro)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-6, atol=1e-6)


def test_dropout_falls_the_same_way_in_both_passes_of_gradient_caching(fabric):
    """The reference keeps every activation of one pass whose micro-batches draw in the same order."""
    bert = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    dropout = {"hidden_dropout_prob": 0.4, "attention_probs_dropout_prob": 0.4}
    recipe = tiny_recipe(objective="gradcache", text=Encoder(type="bert", config={**bert, **dropout}))
    model = tiny_model(recipe).double().train()
    window, cpu = tiny_window(model), torch.device("cpu")
    torch.manual_seed(3)
    parts = [window.part(rows, cpu) for rows in chunk_rows(PAIRS, 3)]
    image, text, scale, _ = zip(*(model(part.images, part.tokens, part.mask) for part in parts), strict=True)
    plain_clip(torch.cat(image), torch.cat(text), scale[0], None, positives(window)).backward()
    slow = {name: p.grad for name, p in model.named_parameters()}
    drawn = torch.get_rng_state()
    torch.manual_seed(3)
    _, fast = gradient_by(fabric, recipe, copy.deepcopy(model), micro=3)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_moco_compares_a_micro_batch_with_its_keys_and_the_queue(fabric):
    recipe = tiny_recipe(objective="moco", queue=6, queue_warmup=0.0, momentum=1.0, momentum_end=1.0)
    model = tiny_model(recipe).double()
    method = make_method(recipe, model, fabric)
    method.set_schedule(1.0, 2.0)  # where msd's targets would be soft
    window = tiny_window(model, PAIRS)
    steps = Steps(model)
    train_window(
        fabric,
        fabric.setup_module(model),
        method,
        window,
        batching=Batching(4, 4),
        optimizer_step=steps,
    )
    image, text, scale, _ = model(window.images, window.tokens, window.mask)
    target = positives(window)[4:] / positives(window)[4:].sum(dim=1, keepdim=True)
    forth = F.cross_entropy(scale * image[4:] @ text.detach().T, target)
    expected = (forth + F.cross_entropy(scale * text[4:] @ image.detach().T, target)) / 2
    expected.backward()
    slow = {name: p.grad for name, p in model.named_parameters()}
    torch.testing.assert_close(steps.gradients[1], slow, rtol=1e-9, atol=1e-12)
    assert len(method.queue.keys) == 6


def test_mocos_queue_holds_four_windows_and_ages_by_the_window(fabric):
    recipe = tiny_recipe(objective="moco", window=12, micro_batch=5, queue=0, queue_max_age=7)
    queue = make_method(recipe, tiny_model(recipe), fabric).queue
    assert (queue.size, queue.max_age) == (48, 21)


def test_each_objective_takes_the_steps_its_window_means():
    recipe = {"window": 12, "micro_batch": 5, "micro_per_step": 2}
    every = {name: steps_every(tiny_recipe(objective=name, **recipe)) for name in ("clip", "moco", "msd")}
    assert every == {"clip": 1, "moco": 1, "msd": 2}
    assert steps_every(tiny_recipe(objective="gradcache", **recipe)) == 3
    assert steps_every(tiny_recipe(objective="siglip", **recipe)) == 3


@pytest.mark.parametrize(("recomputed", "chunks"), [(False, [8]), (True, [2, 2, 2, 2])])
def test_the_teacher_takes_no_more_memory_than_the_student(fabric, recomputed, chunks):
    """Four micro-batches at once, but one where the student keeps no activations either."""
    recipe = tiny_recipe(checkpoint_activations=recomputed)
    model = tiny_model(recipe).double()
    method, encoded = make_method(recipe, model, fabric), []
    method.teacher.image.register_forward_pre_hook(lambda tower, inputs: encoded.append(len(inputs[0])))
    method.open_window(fabric.setup_module(model), tiny_window(model), Batching(2, 8))
    assert encoded == chunks
