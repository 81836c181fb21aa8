"""The step: one window, micro-batch by micro-batch."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor

from medistill.data.loader.windows import Window
from medistill.engine.batching import TOWERS, chunk_rows
from medistill.engine.batching import Batching as Batching
from medistill.engine.gather import average_gradients
from medistill.engine.method import ByTower, Method
from medistill.engine.towers import embedded, separable
from medistill.model.dual import DualEncoder
from medistill.model.encoder import TextTower


def train_window(
    fabric: Fabric,
    student: _FabricModule,
    method: Method,
    window: Window,
    *,
    batching: Batching,
    optimizer_step: Callable[[], bool],
) -> Float[Tensor, ""]:
    """Go through this rank's share of a window against the keys `method` makes of it; mean loss, in nats.

    One pass's activations are alive at a time, so the window is bounded by time, not memory. If even that is
    too much, `batching` is changed and the optimizer step begun again.

    student         any module set up by `fabric` that makes `Embeddings` of `Window.inputs`
    optimizer_step  applies and clears the accumulated gradient; False if it had to be skipped.
    """
    window = with_frozen_part(fabric, student, window, batching.size("text"))
    total = torch.zeros((), device=fabric.device)
    for step in chunk_rows(len(window), batching.per_step):
        # None is out of memory: the step begins again from a clean gradient, so nothing is counted twice.
        while (loss := _accumulated(fabric, student, method, window, step, batching)) is None:
            student.zero_grad()
            torch.cuda.empty_cache()
            batching.halve()
        # Steps differ in length only where the last is short: a mean over pairs, not over steps.
        total += loss * ((step.stop - step.start) / len(window))
        method.close_step(student, taken=optimizer_step())
    method.close_window()
    return total


@torch.no_grad()
def with_frozen_part(fabric: Fabric, student: _FabricModule, window: Window, chunk: int) -> Window:
    """The window with what frozen text layers make of it: the same in every pass, so computed once.

    It lies on the host with the window's other inputs: N x tokens x width floats.
    """
    tower = getattr(student.module, "text", None)
    if not isinstance(tower, TextTower) or not tower.frozen_layers:
        return window
    kept: list[Tensor] = []
    with fabric.autocast():
        for rows in chunk_rows(len(window), chunk):
            part = window.part(rows, fabric.device)
            hidden = tower.lower(part.tokens, part.mask).cpu()
            kept.append(F.pad(hidden, (0, 0, 0, window.tokens.shape[1] - hidden.shape[1])))
    return replace(window, lower=torch.cat(kept))


def _accumulated(
    fabric: Fabric, student: _FabricModule, method: Method, window: Window, step: slice, batching: Batching
) -> Float[Tensor, ""] | None:
    """Add up the gradient of one optimizer step; its mean loss, or None if memory ran out."""
    batching.passing = None
    try:
        if step.start == 0:
            # In here, because the keys' own pass can run out of memory as well.
            method.open_window(student, window, batching)
        batching.passing = None
        method.open_step(window, step)
        model = separable(student)
        if model and isinstance(method, ByTower) and method.by_tower:
            return _tower_by_tower(fabric, model, method, window, step, batching)
        return _pair_by_pair(fabric, student, method, window, step, batching.micro)
    except torch.OutOfMemoryError:
        return None


def _tower_by_tower(
    fabric: Fabric, model: DualEncoder, method: ByTower, window: Window, step: slice, batching: Batching
) -> Float[Tensor, ""]:
    """All images of the step by the image tower, then all texts by the other: the graph of one is alive.

    Each pass weighs its share of the step's pairs, a short last one included.
    """
    total = torch.zeros((), device=fabric.device)
    for tower in TOWERS:
        for rows in batching.chunks(tower, step):
            part = window.part(rows, fabric.device)
            method.open_pass(tower, rows)
            query = embedded(fabric, model, tower, part)
            loss = method.tower_loss(tower, query, model.head(), part, rows)
            loss = loss * (len(part) / (step.stop - step.start))
            fabric.backward(loss)
            total += loss.detach()  # stays on the device: reading it would wait for the card
    average_gradients(model)
    return total


def _pair_by_pair(
    fabric: Fabric, student: _FabricModule, method: Method, window: Window, step: slice, micro: int
) -> Float[Tensor, ""]:
    """Both towers of a micro-batch at once: for a loss that compares live embeddings of the two.

    Each micro-batch weighs its share of the step's pairs, a short last one included.
    """
    total = torch.zeros((), device=fabric.device)
    for rows in chunk_rows(step.stop - step.start, micro, start=step.start):
        part = window.part(rows, fabric.device)
        method.open_pass(None, rows)
        # Ranks exchange gradients once a step, in the last backward pass.
        with fabric.no_backward_sync(student, enabled=rows.stop < step.stop):
            query = student(*part.inputs)
            loss = method.loss(query, part, rows) * (len(part) / (step.stop - step.start))
            fabric.backward(loss)
        total += loss.detach()
    return total
