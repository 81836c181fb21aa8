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
from medistill.engine.batching import Tower as TowerName
from medistill.engine.gather import average_gradients, ranks
from medistill.engine.method import ByTower, Method
from medistill.engine.passes import Passes
from medistill.engine.tf32 import tf32
from medistill.engine.towers import separable
from medistill.model.dual import DualEncoder, Embeddings
from medistill.model.tower import Tower

POOLED_AT_ONCE = 64
"""Inputs that a locked tower is given at once, at most: as many as a validation embeds."""


def train_window(
    fabric: Fabric,
    student: _FabricModule,
    method: Method,
    window: Window,
    *,
    batching: Batching,
    optimizer_step: Callable[[], bool],
    passes: Passes | None = None,
) -> Float[Tensor, ""]:
    """Go through this rank's share of a window against the keys `method` makes of it; mean loss, in nats.

    One pass's activations are alive at a time, so the window is bounded by time, not memory. If even that is
    too much, `batching` is changed and the optimizer step begun again.

    student         any module set up by `fabric` that makes `Embeddings` of `Window.inputs`
    optimizer_step  applies and clears the accumulated gradient; False if it had to be skipped.
    passes          how the towers are run, the same for all windows of a run; None: kernel by kernel
    """
    passes = passes or Passes(fabric)
    method.use(passes)
    window = with_frozen_parts(fabric, student, window, batching)
    total = torch.zeros((), device=fabric.device)
    for step in chunk_rows(len(window), batching.per_step):
        # None is out of memory: the step begins again from a clean gradient, so nothing is counted twice.
        while (loss := _accumulated(passes, student, method, window, step, batching)) is None:
            student.zero_grad()
            passes.clear()
            torch.cuda.empty_cache()
            batching.halve()
        # Steps differ in length only where the last is short: a mean over pairs, not over steps.
        total += loss * ((step.stop - step.start) / len(window))
        method.close_step(student, taken=optimizer_step())
    method.close_window()
    return total


def with_frozen_parts(fabric: Fabric, student: _FabricModule, window: Window, batching: Batching) -> Window:
    """The window with what is frozen of the towers makes of it: the same in every pass, so computed once."""
    model = separable(student)
    if model is None:
        return window
    whole = window.whole
    for tower in TOWERS:
        own: Tower = getattr(model, tower)
        if own.splits and getattr(window, f"{tower}_lower") is None:
            pairs = min(batching.size(tower), POOLED_AT_ONCE) if own.locked else batching.size(tower)
            lower = _lower_part(fabric, model, tower, window, pairs)
            window = _replaced(window, tower, lower, whole=own.locked)
    if whole is not None:
        whole = replace(whole, images=window.images, image_lower=window.image_lower)
        window = replace(window, whole=with_frozen_parts(fabric, student, whole, batching))
    return window


@torch.no_grad()
def _lower_part(
    fabric: Fabric, model: DualEncoder, tower: TowerName, window: Window, pairs: int
) -> Float[Tensor, "n ..."]:
    """It lies on the host with the window's other inputs: a float a feature of each place or token."""
    kept, longest = None, window.tokens.shape[1]
    with fabric.autocast():
        for rows in chunk_rows(len(window), pairs):
            part = window.part(rows, fabric.device)
            if tower == "image":
                hidden = model.lower_images(part.images)
            else:
                hidden = model.text.lower(part.tokens, part.mask)
                if hidden.ndim > 2:
                    hidden = F.pad(hidden, (0, 0, 0, longest - hidden.shape[1]))
            if kept is None:
                shape = len(window), *hidden.shape[1:]
                kept = torch.empty(shape, dtype=hidden.dtype, pin_memory=fabric.device.type == "cuda")
            # The host does not wait: the card fills the rows before it copies them back, in the same stream.
            kept[rows].copy_(hidden, non_blocking=True)
    assert kept is not None
    return kept


def _replaced(window: Window, tower: TowerName, lower: Tensor, *, whole: bool) -> Window:
    """The window without the inputs that nobody looks at any more."""
    if tower == "image":
        return replace(window, image_lower=lower, images=window.images[:, :0, :0])
    if whole:
        window = replace(window, tokens=window.tokens[:, :0], mask=window.mask[:, :0])
    return replace(window, text_lower=lower)


def _accumulated(
    passes: Passes, student: _FabricModule, method: Method, window: Window, step: slice, batching: Batching
) -> Float[Tensor, ""] | None:
    """Add up the gradient of one optimizer step; its mean loss, or None if memory ran out."""
    batching.passing = None
    model, apart = separable(student), isinstance(method, ByTower) and method.by_tower
    try:
        if model and (apart or ranks() == 1):
            passes.prepare(model, method.frozen(batching), window, batching, apart=apart)
        batching.passing = None
        if step.start == 0:
            # In here, because the keys' own pass can run out of memory as well.
            method.open_window(student, window, batching)
        batching.passing = None
        method.open_step(window, step)
        passes.open_step()
        if model and isinstance(method, ByTower) and method.by_tower:
            return _tower_by_tower(passes, model, method, window, step, batching)
        if model and ranks() == 1:
            return _both_towers(passes, model, method, window, step, batching.micro)
        return _pair_by_pair(passes, student, method, window, step, batching.micro)
    except torch.OutOfMemoryError:
        return None


def _tower_by_tower(
    passes: Passes, model: DualEncoder, method: ByTower, window: Window, step: slice, batching: Batching
) -> Float[Tensor, ""]:
    """All images of the step by the image tower, then all texts by the other: the graph of one is alive.

    Each pass weighs its share of the step's pairs, a short last one included.
    """
    total = torch.zeros((), device=passes.fabric.device)
    for tower in TOWERS:
        for rows in batching.chunks(tower, step):
            part = window.part(rows, passes.fabric.device)
            method.open_pass(tower, rows)
            query = passes.forward(model, tower, part)
            with tf32(False):
                loss = method.tower_loss(tower, query.rows, model.head(), part, rows)
                loss = loss * (len(part) / (step.stop - step.start))
                passes.fabric.backward(loss)  # as far as the rows, the scale and the bias
            query.backward()
            total += loss.detach()  # stays on the device: reading it would wait for the card
    average_gradients(model)
    return total


def _both_towers(
    passes: Passes, model: DualEncoder, method: Method, window: Window, step: slice, micro: int
) -> Float[Tensor, ""]:
    """Both towers of a micro-batch, then the loss between them: it compares live embeddings of the two."""
    total = torch.zeros((), device=passes.fabric.device)
    for rows in chunk_rows(step.stop - step.start, micro, start=step.start):
        part = window.part(rows, passes.fabric.device)
        method.open_pass(None, rows)
        text, image = (passes.forward(model, tower, part) for tower in reversed(TOWERS))
        with tf32(False):
            query = Embeddings(image.rows, text.rows, *model.head())
            loss = method.loss(query, part, rows) * (len(part) / (step.stop - step.start))
            passes.fabric.backward(loss)
        image.backward()
        text.backward()
        total += loss.detach()
    return total


def _pair_by_pair(
    passes: Passes, student: _FabricModule, method: Method, window: Window, step: slice, micro: int
) -> Float[Tensor, ""]:
    """The same for several ranks, and for any module: by its one forward, which no pass may go around.

    Ranks exchange gradients once a step, in the last backward pass.
    """
    fabric = passes.fabric
    total = torch.zeros((), device=fabric.device)
    for rows in chunk_rows(step.stop - step.start, micro, start=step.start):
        part = window.part(rows, fabric.device)
        method.open_pass(None, rows)
        with fabric.no_backward_sync(student, enabled=rows.stop < step.stop):
            with tf32(passes.tf32):
                query = student(*part.inputs)
            with tf32(False):
                loss = method.loss(query, part, rows) * (len(part) / (step.stop - step.start))
                fabric.backward(loss)
        total += loss.detach()
    return total
