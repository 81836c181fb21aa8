"""Run by torchrun: one window on every rank, its gradient left in a file by rank 0."""

import dataclasses
import gc
import sys

import torch
from torch import distributed

from medistill.engine.objectives import make_method
from medistill.engine.optimizer import make_fabric, make_optimizer
from medistill.engine.passes import Passes
from medistill.engine.step import Batching, train_window
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.graphs_again import Again
from tests.engine.test_step import Steps, msd

PAIRS = 8


def method_of(fabric, name, model):
    """Name -> the objective, a teacher unlike the student where it has one."""
    if name == "msd":
        return msd(fabric, tiny_model(), alpha=0.3, live_share=0.0)
    if name == "msd_live":
        return msd(fabric, tiny_model(), alpha=0.3, live_share=0.4)
    return make_method(tiny_recipe(objective=name, queue_warmup=0.0, fastclip_version="v3"), model, fabric)


def gradient(fabric, name, micro, passes=None, *, locked=False):
    """The gradient of this rank's share of a window, and the window's loss; the image tower may be locked."""
    recipe = tiny_recipe(objective="siglip" if name == "siglip" else "clip", bias=-2.0)
    recipe = dataclasses.replace(recipe, image=dataclasses.replace(recipe.image, locked=locked))
    model = tiny_model(recipe).double()
    own = PAIRS // fabric.world_size
    whole = tiny_window(model, PAIRS)
    rows = slice(fabric.global_rank * own, (fabric.global_rank + 1) * own)
    share = whole.part(rows, torch.device("cpu"))
    steps = Steps(model)
    wrapped = fabric.setup_module(model)
    method = method_of(fabric, name, model)
    loss = train_window(
        fabric,
        wrapped,
        method,
        share,
        batching=Batching(micro, own),
        optimizer_step=steps,
        passes=passes,
    )
    if name == "clip":
        assert len(steps.gradients) == 1
    return {"gradient": steps.gradients[0], "loss": loss}


def teacher_after_steps(fabric, live_share):
    """The teacher after three windows of real steps, each rank with images and dropout of its own."""
    recipe = tiny_recipe(objective="msd", momentum=0.5, live_share=live_share)
    torch.manual_seed(0)
    model = tiny_model(recipe).train()
    method = make_method(recipe, model, fabric)
    student, optimizer = fabric.setup(model, make_optimizer(model, lr=1e-3, weight_decay=0.1))

    def step():
        optimizer.step()
        optimizer.zero_grad()
        return True

    for seed in range(3):
        share = tiny_window(model, PAIRS, seed=2 * seed + fabric.global_rank)
        train_window(fabric, student, method, share, batching=Batching(3, 6), optimizer_step=step)
    return dict(method.teacher.state_dict())


MICRO = {"clip": 4, "fastclip": 4, "moco": 4, "msd_live": 4, "msd": 3, "gradcache": 3, "siglip": 3}
"""Micro-batch of each of two ranks; where the loss compares live pairs, one process takes twice as many."""

if __name__ == "__main__":
    fabric = make_fabric("32")
    found = {name: gradient(fabric, name, micro) for name, micro in MICRO.items()}
    passes = Passes(fabric, Again)
    found["locked"] = gradient(fabric, "clip", 4, locked=True)
    found["replayed"] = [gradient(fabric, "msd", 2, passes)["gradient"], passes.new_capture is not None]
    found["teacher"] = {share: teacher_after_steps(fabric, share) for share in (0.0, 0.3)}
    everyones = [None] * fabric.world_size
    distributed.all_gather_object(everyones, found)
    if fabric.is_global_zero:
        torch.save(everyones, sys.argv[1])
    distributed.barrier()
    gc.collect()  # as `pretrain` does: no DDP module may outlive the process group
    distributed.destroy_process_group()
