"""Momentum self-distillation, and momentum contrast as its plain relative."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor, nn

from medistill.data.loader.windows import Window
from medistill.engine.batching import TOWERS, Batching, Tower, chunk_rows
from medistill.engine.gather import gathered_embeddings, ranks
from medistill.engine.keys import KeyQueue, Keys, joined
from medistill.engine.method import ByTower
from medistill.engine.passes import Frozen
from medistill.model.dual import DualEncoder, Embeddings, Head
from medistill.model.teacher import Follower, half_life
from medistill.objective import distilled_contrast, soft_targets, symmetric_contrast


class MsdSettings(NamedTuple):
    """What changes as an `Msd` run goes on."""

    alpha: float
    """Share of the teacher's similarities in the targets."""
    momentum: float
    """What the teacher keeps of itself at an optimizer step."""
    queue_in_use: bool


class Msd(ByTower):
    """Queries against the teacher's keys of the whole window, over all ranks.

    teacher   `make_teacher` of the student: any module that makes `Embeddings` of `Window.inputs` and has the
              logarithm of its scale as `log_scale`
    """

    def __init__(
        self,
        fabric: Fabric,
        teacher: nn.Module,
        *,
        schedule: Callable[[float, float], MsdSettings],
        live_share: float,
        teacher_chunk: int = 4,
        queue: KeyQueue | None = None,
        deliver_teacher: bool = True,
    ):
        super().__init__(fabric)
        self.teacher, self.schedule = teacher, schedule
        self.live_share, self.teacher_chunk = live_share, teacher_chunk
        self.queue, self.deliver_teacher = queue, deliver_teacher
        self.settings = schedule(0.0, 0.0)
        self.by_tower = not live_share
        self._follower: Follower | None = None
        self.first = 0
        """Row of the window that the first of `own` belongs to."""

    def set_schedule(self, progress: float, epoch: float) -> None:
        """Alpha, momentum and the use of the queue."""
        self.settings = self.schedule(progress, epoch)

    def frozen(self, batching: Batching) -> Frozen | None:
        """The teacher."""
        pairs = self._pairs_at_once(batching)
        return Frozen(self.teacher, pairs) if isinstance(self.teacher, DualEncoder) else None

    def _pairs_at_once(self, batching: Batching) -> int:
        return self.teacher_chunk * batching.micro

    def open_window(self, student: _FabricModule, window: Window, batching: Batching) -> None:
        """Keys and the teacher's scale, which then stay fixed."""
        self._encode(window, chunk_rows(len(window), self._pairs_at_once(batching)))

    @torch.no_grad()
    def _encode(self, window: Window, chunks: list[slice]) -> None:
        read = window.whole or window
        keys = [self._keys(read.part(rows, self.fabric.device)) for rows in chunks]
        self.own = Keys(*(torch.cat(x) for x in zip(*keys, strict=True)))
        self.window_keys = self.own.gathered()
        self.teacher_scale = self._log_scale.exp()
        # Random embeddings of the first epochs would only be noise among the keys (`queue_warmup`).
        older = self.queue.keys if self.queue and self.settings.queue_in_use else None
        self.keys = joined(self.window_keys, older) if older is not None else self.window_keys

    def _keys(self, part: Window) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if isinstance(self.teacher, DualEncoder):
            image, text = (self.passes.embed(self.teacher, tower, part) for tower in TOWERS)
        else:
            # It is not set up by Fabric, which would wrap it for gradients: autocast is ours to enter.
            with self.fabric.autocast():
                image, text, *_ = self.teacher(*part.inputs)
        return image, text, part.study, part.text

    def tower_loss(
        self, tower: Tower, query: Float[Tensor, "b d"], head: Head, part: Window, rows: slice
    ) -> Float[Tensor, ""]:
        """Half of the contrast of one tower's queries with the other's keys, at the teacher's targets."""
        own = self._own(rows)
        keys, belief = (self.keys.text, own.image) if tower == "image" else (self.keys.image, own.text)
        distilled = distilled_contrast(
            query,
            keys,
            belief,
            self.keys.positives(own),
            scale=head.scale,
            teacher_scale=self.teacher_scale,
            alpha=self.settings.alpha,
        )
        return distilled / 2

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """(1 - w) * queries against the window's keys + w * against the micro-batch's own live embeddings."""
        loss = super().loss(query, part, rows)
        return torch.lerp(loss, self._live(query, rows), self.live_share) if self.live_share else loss

    def _own(self, rows: slice) -> Keys:
        return self.own[rows.start - self.first : rows.stop - self.first]

    def _live(self, query: Embeddings, rows: slice) -> Float[Tensor, ""]:
        """The same within the micro-batch of all ranks, against embeddings that receive a gradient too."""
        own, live = self._own(rows), gathered_embeddings(query)
        around = self.window_keys[rows_of_all_ranks(rows, len(self.own), own.study.device)]
        soft = partial(
            soft_targets,
            positive=around.positives(own),
            teacher_scale=self.teacher_scale,
            alpha=self.settings.alpha,
        )
        targets = soft(own.image, around.text), soft(own.text, around.image)
        return symmetric_contrast(query.image, query.text, live.image, live.text, *targets, scale=query.scale)

    def close_step(self, student: nn.Module, *, taken: bool) -> None:
        """Move the teacher towards the student."""
        if taken:
            if self._follower is None or self._follower.ahead is not student:
                self._follower = Follower(self.teacher, student)
            self._follower.follow(self.settings.momentum)

    def close_window(self) -> None:
        """Let the queue have the window's keys."""
        if self.queue:
            self.queue.push(self.window_keys)

    def delivered(self, student: DualEncoder) -> DualEncoder:
        """The teacher, unless the recipe says otherwise."""
        return cast(DualEncoder, self.teacher) if self.deliver_teacher else student

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
            self.queue.load_state_dict(state["queue"], self._log_scale.device)

    @property
    def _log_scale(self) -> Tensor:
        return cast(Tensor, self.teacher.log_scale)


class Moco(Msd):
    """MoCo (He et al. 2020) for two modalities: a step's teacher keys and the queue, hard targets."""

    def _pairs_at_once(self, batching: Batching) -> int:
        return batching.per_step

    def open_window(self, student: _FabricModule, window: Window, batching: Batching) -> None:
        """Keys are made step by step."""

    def open_step(self, window: Window, step: slice) -> None:
        """Keys of the step's own pairs, and those before them."""
        self.first = step.start
        self._encode(window, [step])

    def close_step(self, student: nn.Module, *, taken: bool) -> None:
        """The queue has the step's keys from here on."""
        super().close_step(student, taken=taken)
        super().close_window()

    def close_window(self) -> None:
        """The queue has its keys already."""


def rows_of_all_ranks(rows: slice, per_rank: int, device: torch.device) -> Int[Tensor, " wb"]:
    """Where the rows `rows` of every rank lie among the gathered keys of a window."""
    own = torch.arange(rows.start, rows.stop, device=device)  # made on the card: copying it would wait
    return torch.cat([own + rank * per_rank for rank in range(ranks())])
