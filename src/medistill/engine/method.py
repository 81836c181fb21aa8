"""What the window means to each objective: keys before, a loss for each micro-batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from medistill.data.loader import Window
from medistill.engine.keys import KeyQueue, Keys, joined
from medistill.engine.schedule import alpha_at
from medistill.model.dual import DualEncoder, Embeddings
from medistill.model.teacher import half_life, make_teacher, momentum_at, update_teacher
from medistill.objective import distilled_contrast, in_batch_contrast, positive_mask, soft_targets
from medistill.recipe import Recipe


class Method(ABC):
    """An objective at work; `train_window` calls these in this order. Only `loss` must be there."""

    def set_schedule(self, progress: float, epoch: float) -> None:  # noqa: B027
        """Before a window: how far the run is, 0..1, and in epochs."""

    def open_window(self, fabric: Fabric, window: Window, micro: int) -> None:  # noqa: B027
        """Before the first micro-batch, without gradient."""

    @abstractmethod
    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """Mean over the pairs of one micro-batch, in nats; `rows` says where it lies in the window."""

    def after_step(self, student: nn.Module) -> None:  # noqa: B027
        """After each optimizer step that was taken."""

    def close_window(self) -> None:  # noqa: B027
        """After the last micro-batch."""

    def delivered(self, student: DualEncoder) -> DualEncoder:
        """The model that is validated and saved."""
        return student

    def figures(self, pairs_per_step: int) -> dict[str, float]:
        """What metrics.jsonl should say of it."""
        return {}

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


class MsdSettings(NamedTuple):
    """What changes as an `Msd` run goes on."""

    alpha: float
    """Share of the teacher's similarities in the targets."""
    momentum: float
    """What the teacher keeps of itself at an optimizer step."""
    queue_in_use: bool


class Msd(Method):
    """Momentum self-distillation: queries against the teacher's keys of the whole window."""

    def __init__(
        self,
        teacher: DualEncoder,
        *,
        live_share: float,
        schedule: Callable[[float, float], MsdSettings],
        queue: KeyQueue | None = None,
        deliver_teacher: bool = True,
    ):
        self.teacher, self.live_share, self.schedule = teacher, live_share, schedule
        self.queue, self.deliver_teacher = queue, deliver_teacher
        self.settings = schedule(0.0, 0.0)

    def set_schedule(self, progress: float, epoch: float) -> None:
        """Alpha, momentum and the use of the queue."""
        self.settings = self.schedule(progress, epoch)

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
        older = self.queue.keys if self.queue and self.settings.queue_in_use else None
        self.keys = joined(self.own, older) if older is not None else self.own

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """(1 - w) * queries against the window's keys + w * against the micro-batch's own live embeddings."""
        own, soft = self.own[rows], {"teacher_scale": self.teacher_scale, "alpha": self.settings.alpha}
        positive = self.keys.positives(own)
        distilled = partial(distilled_contrast, positive=positive, scale=query.scale, **soft)
        forth = distilled(query.image, self.keys.text, own.image)
        loss = (forth + distilled(query.text, self.keys.image, own.text)) / 2
        if self.live_share:
            within = partial(soft_targets, positive=own.positives(own), **soft)
            targets = within(own.image, own.text), within(own.text, own.image)
            live = in_batch_contrast(query.image, query.text, *targets, scale=query.scale)
            loss = torch.lerp(loss, live, self.live_share)
        return loss

    def after_step(self, student: nn.Module) -> None:
        """Move the teacher towards the student."""
        update_teacher(self.teacher, student, self.settings.momentum)

    def close_window(self) -> None:
        """Let the queue have the window's keys."""
        if self.queue:
            self.queue.push(self.own)

    def delivered(self, student: DualEncoder) -> DualEncoder:
        """The teacher, unless the recipe says otherwise."""
        return self.teacher if self.deliver_teacher else student

    def figures(self, pairs_per_step: int) -> dict[str, float]:
        """Alpha, momentum, and the pairs after which half of the teacher has been replaced."""
        alpha, momentum, _ = self.settings
        figures = {"alpha": alpha, "momentum": momentum}
        if momentum < 1:
            figures["teacher_half_life_pairs"] = half_life(momentum, pairs_per_step)
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Teacher and queue."""
        return {"teacher": self.teacher.state_dict(), "queue": self.queue.state_dict() if self.queue else {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.teacher.load_state_dict(state["teacher"])
        if self.queue:
            self.queue.load_state_dict(state["queue"], self.teacher.log_scale.device)


def make_method(recipe: Recipe, student: DualEncoder, device: torch.device) -> Method:
    """The recipe's objective, ready to train `student`."""
    if recipe.objective == "clip":
        return Clip()
    return Msd(
        make_teacher(student).to(device),
        live_share=recipe.live_share,
        schedule=partial(_settings, recipe),
        queue=KeyQueue(recipe.queue, recipe.queue_max_age) if recipe.queue else None,
        deliver_teacher=recipe.deliver == "teacher",
    )


def chunk_rows(pairs: int, size: int) -> list[slice]:
    """Slices of at most `size` rows that cover `pairs` rows in order."""
    return [slice(start, min(start + size, pairs)) for start in range(0, pairs, size)]


def _settings(recipe: Recipe, progress: float, epoch: float) -> MsdSettings:
    alpha = alpha_at(epoch, recipe.alpha, recipe.alpha_ramp)
    momentum = momentum_at(progress, recipe.momentum, recipe.momentum_end)
    return MsdSettings(alpha, momentum, epoch >= recipe.queue_warmup)


def _keys(teacher: DualEncoder, part: Window) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    image, text, _ = teacher(part.images, part.tokens, part.mask)
    return image, text, part.study, part.text
