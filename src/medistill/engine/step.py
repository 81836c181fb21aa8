"""The step: one window, micro-batch by micro-batch."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor

from medistill.data.loader.windows import Window
from medistill.engine.gather import ranks
from medistill.engine.method import Method, chunk_rows
from medistill.errors import MedistillError
from medistill.model.encoder import TextTower

log = logging.getLogger(__name__)


@dataclass
class Batching:
    """How a rank's share of a window is cut."""

    micro: int
    """Pairs whose activations are in memory at once."""
    per_step: int
    """Pairs between two optimizer steps; stays when `micro` has to shrink."""

    def halve(self) -> None:
        """Half the memory at the same optimizer steps; MedistillError where that cannot help."""
        if ranks() > 1:
            raise MedistillError(
                f"a card ran out of memory at micro-batches of {self.micro} pairs; several ranks cannot "
                f"shrink them on the way: start again with --micro-batch {max(self.micro // 2, 1)}"
            )
        if self.micro == 1:
            raise MedistillError(
                "out of memory with a single pair in a micro-batch; use smaller images (--size), shorter "
                "texts (--max-tokens) or smaller towers"
            )
        self.micro = -(-self.micro // 2)
        log.warning(
            "out of memory: going on with micro-batches of %d pairs, a step every %d pairs as before",
            self.micro,
            self.per_step,
        )


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

    One micro-batch of activations is alive at a time, so the window is bounded by time, not memory. If even
    that is too much, `batching` is changed and the optimizer step begun again.

    student         any module set up by `fabric` that makes `Embeddings` of `Window.inputs`
    optimizer_step  applies and clears the accumulated gradient; False if it had to be skipped.
    """
    window = with_frozen_part(fabric, student, window, batching.micro)
    total = torch.zeros((), device=fabric.device)
    for step in chunk_rows(len(window), batching.per_step):
        # None is out of memory: the step begins again from a clean gradient, so nothing is counted twice.
        while (loss := _accumulated(fabric, student, method, window, step, batching.micro)) is None:
            student.zero_grad()
            torch.cuda.empty_cache()
            batching.halve()
        # Steps differ in length only where the last is short: a mean over pairs, not over steps.
        total += loss * ((step.stop - step.start) / len(window))
        if optimizer_step():
            method.after_step(student)
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
    fabric: Fabric, student: _FabricModule, method: Method, window: Window, step: slice, micro: int
) -> Float[Tensor, ""] | None:
    """Add up the gradient of one optimizer step; its mean loss, or None if memory ran out.

    Each micro-batch weighs its share of the step's pairs, a short last one included.
    """
    total = torch.zeros((), device=fabric.device)
    try:
        if step.start == 0:
            # In here, because the keys' own pass can run out of memory as well.
            method.open_window(student, window, micro)
        for start in range(step.start, step.stop, micro):
            rows = slice(start, min(start + micro, step.stop))
            part = window.part(rows, fabric.device)
            method.open_micro(rows)
            # Ranks exchange gradients once a step, in the last backward pass.
            with fabric.no_backward_sync(student, enabled=rows.stop < step.stop):
                query = student(*part.inputs)
                loss = method.loss(query, part, rows) * (len(part) / (step.stop - step.start))
                fabric.backward(loss)
            total += loss.detach()  # stays on the device: reading it would wait for the card
    except torch.OutOfMemoryError:
        return None
    return total
