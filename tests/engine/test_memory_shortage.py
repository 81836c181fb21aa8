"""Out of memory in training: smaller micro-batches, the same optimizer steps."""

import pytest
import torch

from medistill.engine.objectives import make_method
from medistill.engine.step import Batching, train_window
from medistill.errors import MedistillError
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.test_step import Steps, gradients, msd


def short_of_memory(model, pairs: int):
    """The model, out of memory when it is to learn from more than `pairs` pairs at once."""
    whole = model.forward

    def forward(images, tokens, mask, lower):
        if len(images) > pairs and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(images, tokens, mask, lower)

    model.forward = forward
    return model


def trained(fabric, model, method, batching):
    steps = Steps(model)
    train_window(
        fabric,
        fabric.setup_module(model),
        method,
        tiny_window(model),
        batching=batching,
        optimizer_step=steps,
    )
    return steps.gradients


def test_out_of_memory_halves_the_micro_batch_and_leaves_the_gradient_as_it_was(fabric):
    whole, _ = gradients(fabric, msd(fabric, tiny_model()), micro=4, micro_per_step=1)
    batching = Batching(4, 4)
    short = trained(fabric, short_of_memory(tiny_model().double(), 1), msd(fabric, tiny_model()), batching)
    assert (batching.micro, batching.per_step) == (1, 4)
    assert len(short) == 2
    torch.testing.assert_close(short, whole, rtol=1e-9, atol=1e-12)


def test_what_a_step_had_gathered_before_memory_ran_out_does_not_count_twice(fabric):
    whole, _ = gradients(fabric, msd(fabric, tiny_model()), micro=8, micro_per_step=1)
    model = tiny_model().double()
    learn, sizes = model.forward, []

    def forward(*inputs):
        sizes.append(len(inputs[0]))
        if len(sizes) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learn(*inputs)

    model.forward = forward
    short = trained(fabric, model, msd(fabric, tiny_model()), Batching(4, 8))
    assert sizes[:4] == [4, 4, 2, 2]
    torch.testing.assert_close(short, whole, rtol=1e-9, atol=1e-12)


def test_gradient_caching_begins_the_window_again_with_smaller_micro_batches(fabric):
    recipe = tiny_recipe(objective="gradcache")
    whole = trained(fabric, m := tiny_model().double(), make_method(recipe, m, fabric), Batching(8, 8))
    short_model = short_of_memory(tiny_model().double(), 3)
    short = trained(fabric, short_model, make_method(recipe, short_model, fabric), Batching(8, 8))
    torch.testing.assert_close(short, whole, rtol=1e-9, atol=1e-12)


def test_a_single_pair_that_does_not_fit_ends_the_run_with_advice(fabric):
    with pytest.raises(MedistillError, match="--size"):
        trained(fabric, short_of_memory(tiny_model().double(), 0), msd(fabric, tiny_model()), Batching(4, 4))
