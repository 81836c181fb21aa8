"""Out of memory in training: smaller micro-batches, the same optimizer steps."""

import pytest
import torch

from medistill.engine.objectives import make_method
from medistill.engine.step import Batching, train_window
from medistill.errors import MedistillError
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.test_step import Steps, gradients, msd


def short_of_memory(model, pairs: int, tower: str = "embed_images"):
    """The model, out of memory when a tower is to learn from more than `pairs` pairs at once."""
    whole = getattr(model, tower)

    def embed(inputs, *more):
        if len(inputs) > pairs and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(inputs, *more)

    setattr(model, tower, embed)
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


@pytest.mark.parametrize(("tower", "sizes"), [("embed_images", (1, 4)), ("embed_tokens", (4, 1))])
def test_out_of_memory_halves_the_tower_that_failed_and_leaves_the_gradient_as_it_was(fabric, tower, sizes):
    whole, _ = gradients(fabric, msd(fabric, tiny_model()), micro=4, micro_per_step=1)
    batching, short_model = Batching(4, 4), short_of_memory(tiny_model().double(), 1, tower)
    short = trained(fabric, short_model, msd(fabric, tiny_model()), batching)
    assert (batching.size("image"), batching.size("text")) == sizes
    assert (batching.micro, batching.per_step) == (4, 4)
    assert len(short) == 2
    torch.testing.assert_close(short, whole, rtol=1e-9, atol=1e-12)


def test_out_of_memory_with_both_towers_at_work_halves_the_micro_batch(fabric):
    live = {"live_share": 1.0, "alpha": 0.0}
    (first, _), _ = gradients(fabric, msd(fabric, tiny_model(), **live), micro=4, micro_per_step=1)
    quarters, _ = gradients(fabric, msd(fabric, tiny_model(), **live), micro=2, micro_per_step=2)
    batching, short_model = Batching(4, 4), short_of_memory(tiny_model().double(), 2)
    short = trained(fabric, short_model, msd(fabric, tiny_model(), **live), batching)
    assert (batching.micro, batching.image, batching.per_step) == (2, 0, 4)
    torch.testing.assert_close(short, quarters, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(first["log_scale"], short[0]["log_scale"])


def test_the_keys_own_pass_that_does_not_fit_halves_the_micro_batch(fabric):
    method = msd(fabric, tiny_model())
    encode, sizes = method._encode, []

    def short(window, chunks):
        sizes.append(chunks[0].stop)
        if len(sizes) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        encode(window, chunks)

    method._encode = short
    batching = Batching(2, 4)
    trained(fabric, tiny_model().double(), method, batching)
    assert sizes == [8, 4]
    assert batching.micro == 1


def test_what_a_step_had_gathered_before_memory_ran_out_does_not_count_twice(fabric):
    whole, _ = gradients(fabric, msd(fabric, tiny_model()), micro=8, micro_per_step=1)
    model = tiny_model().double()
    embed, sizes = model.embed_images, []

    def short(images):
        sizes.append(len(images))
        if len(sizes) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(images)

    model.embed_images = short
    gradient = trained(fabric, model, msd(fabric, tiny_model()), Batching(4, 8))
    assert sizes == [4, 4, 2, 2, 2, 2]
    torch.testing.assert_close(gradient, whole, rtol=1e-9, atol=1e-12)


def test_gradient_caching_begins_the_window_again_with_smaller_micro_batches(fabric):
    recipe = tiny_recipe(objective="gradcache")
    whole = trained(fabric, m := tiny_model().double(), make_method(recipe, m, fabric), Batching(8, 8))
    short_model, batching = short_of_memory(tiny_model().double(), 3), Batching(8, 8)
    short = trained(fabric, short_model, make_method(recipe, short_model, fabric), batching)
    assert (batching.size("image"), batching.size("text")) == (2, 8)
    torch.testing.assert_close(short, whole, rtol=1e-9, atol=1e-12)


def test_a_single_pair_that_does_not_fit_ends_the_run_with_advice(fabric):
    with pytest.raises(MedistillError, match="--size"):
        trained(fabric, short_of_memory(tiny_model().double(), 0), msd(fabric, tiny_model()), Batching(4, 4))
