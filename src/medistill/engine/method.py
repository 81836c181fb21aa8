"""What the window means to each objective: keys before, a loss for each micro-batch."""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from medistill.data.loader import Window
from medistill.engine.keys import KeyQueue, Keys, joined
from medistill.model.dual import DualEncoder, Embeddings
from medistill.model.teacher import update_teacher
from medistill.objective import contrast, in_batch_contrast, positive_mask, soft_targets


class Method(ABC):
    """An objective at work; `train_window` calls these in this order. Only `loss` must be there."""

    def open_window(self, fabric: Fabric, window: Window, micro: int) -> None:  # noqa: B027
        """Before the first micro-batch, without gradient."""

    @abstractmethod
    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """Mean over the pairs of one micro-batch, in nats; `rows` says where it lies in the window."""

    def after_step(self, student: nn.Module) -> None:  # noqa: B027
        """After each optimizer step that was taken."""

    def close_window(self) -> None:  # noqa: B027
        """After the last micro-batch."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """The inverse of `state_dict`."""


class Clip(Method):
    """In-batch InfoNCE; pairs of the same study or text are positives of each other."""

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """Symmetric InfoNCE over the micro-batch."""
        positive = positive_mask(part.study, part.text, part.study, part.text).to(query.image.dtype)
        target = positive / positive.sum(dim=1, keepdim=True)
        return in_batch_contrast(query.image, query.text, target, target, scale=query.scale)


class Msd(Method):
    """Momentum self-distillation: queries against the teacher's keys of the whole window.

    `alpha`, `momentum` and `queue_in_use` are set by the training loop as the run goes on.
    """

    def __init__(self, teacher: DualEncoder, *, live_share: float, queue: KeyQueue | None = None):
        self.teacher, self.live_share, self.queue = teacher, live_share, queue
        self.alpha = 0.0
        self.momentum = 0.0
        self.queue_in_use = False

    @torch.no_grad()
    def open_window(self, fabric: Fabric, window: Window, micro: int) -> None:
        """Encode the window with the teacher, in chunks; keys and the teacher's scale then stay fixed."""
        with fabric.autocast():
            chunks = [
                _keys(self.teacher, window.part(rows, fabric.device))
                for rows in chunk_rows(len(window), micro)
            ]
        self.own = Keys(*(torch.cat(x) for x in zip(*chunks, strict=True)))
        self.teacher_scale = self.teacher.log_scale.exp()
        older = self.queue.keys if self.queue and self.queue_in_use else None
        self.keys = joined(self.own, older) if older is not None else self.own

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """(1 - w) * queries against the window's keys + w * against the micro-batch's own live embeddings."""
        own = self.own[rows]
        to_texts, to_images = self._targets(own, self.keys)
        forth = contrast(query.image, self.keys.text, to_texts, scale=query.scale)
        loss = (forth + contrast(query.text, self.keys.image, to_images, scale=query.scale)) / 2
        if self.live_share:
            live = in_batch_contrast(query.image, query.text, *self._targets(own, own), scale=query.scale)
            loss = torch.lerp(loss, live, self.live_share)
        return loss

    def after_step(self, student: nn.Module) -> None:
        """Move the teacher towards the student."""
        update_teacher(self.teacher, student, self.momentum)

    def close_window(self) -> None:
        """Let the queue have the window's keys."""
        if self.queue:
            self.queue.push(self.own)

    def state_dict(self) -> dict[str, Any]:
        """Teacher and queue."""
        return {"teacher": self.teacher.state_dict(), "queue": self.queue.state_dict() if self.queue else {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.teacher.load_state_dict(state["teacher"])
        if self.queue:
            self.queue.load_state_dict(state["queue"], self.teacher.log_scale.device)

    def _targets(self, own: Keys, keys: Keys) -> tuple[Tensor, Tensor]:
        """Targets of the image queries over text keys, and of the text queries over image keys."""
        positive = keys.positives(own)
        soften = partial(soft_targets, teacher_scale=self.teacher_scale, alpha=self.alpha)
        return soften(own.image, keys.text, positive), soften(own.text, keys.image, positive)


def chunk_rows(pairs: int, size: int) -> list[slice]:
    """Slices of at most `size` rows that cover `pairs` rows in order."""
    return [slice(start, min(start + size, pairs)) for start in range(0, pairs, size)]


def _keys(teacher: DualEncoder, part: Window) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    image, text, _ = teacher(part.images, part.tokens, part.mask)
    return image, text, part.study, part.text
