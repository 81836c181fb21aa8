"""The step: one window, micro-batch by micro-batch."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor

from medistill.data.loader import Window
from medistill.engine.method import Method, chunk_rows


def train_window(
    fabric: Fabric,
    student: _FabricModule,
    method: Method,
    window: Window,
    *,
    micro: int,
    micro_per_step: int,
    optimizer_step: Callable[[], bool],
) -> Float[Tensor, ""]:
    """Go through a window against the keys `method` makes of it; the mean loss of its pairs, in nats.

    One micro-batch of activations is alive at a time, so the window is bounded by time, not memory.
    Each micro-batch weighs its share of the pairs of its optimizer step, a short last one included.

    optimizer_step  applies and clears the accumulated gradient; False if it had to be skipped.
    """
    method.open_window(fabric, window, micro)
    total = torch.zeros((), device=fabric.device)
    for step in chunk_rows(len(window), micro * micro_per_step):
        pairs = step.stop - step.start
        for start in range(step.start, step.stop, micro):
            rows = slice(start, min(start + micro, step.stop))
            part = window.part(rows, fabric.device)
            with fabric.no_backward_sync(student, enabled=rows.stop < step.stop):
                query = student(part.images, part.tokens, part.mask)
                loss = method.loss(query, part, rows) * (len(part) / pairs)
                fabric.backward(loss)
            total += loss.detach() * (pairs / len(window))
        if optimizer_step():
            method.after_step(student)
    method.close_window()
    return total
