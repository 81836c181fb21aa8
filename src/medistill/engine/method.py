"""What an objective has to say while a window goes by."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor, nn

from medistill.data.loader.windows import Window
from medistill.engine.batching import Batching, Tower
from medistill.engine.gather import gathered, gathered_embeddings
from medistill.engine.passes import Frozen, Passes
from medistill.model.dual import DualEncoder, Embeddings, Head
from medistill.objective import positive_mask

PairLoss = Callable[[Embeddings, Embeddings, Bool[Tensor, "b n"]], Float[Tensor, ""]]
"""b queries, n keys, which of them belong together -> mean over the queries, in nats."""


class Method(ABC):
    """An objective at work; `train_window` calls these in this order. Only `loss` must be there."""

    def set_schedule(self, progress: float, epoch: float) -> None:  # noqa: B027
        """Before a window: how far the run is, 0..1, and in epochs."""

    def use(self, passes: Passes) -> None:  # noqa: B027
        """Before a window: how the towers are run."""

    def frozen(self, batching: Batching) -> Frozen | None:
        """A model of the same two towers that it embeds with besides the student, without gradient."""
        return None

    def open_window(self, student: _FabricModule, window: Window, batching: Batching) -> None:  # noqa: B027
        """Before the first step; again if memory ran out in it."""

    def open_step(self, window: Window, step: slice) -> None:  # noqa: B027
        """Before the passes of an optimizer step over these rows; again if memory ran out in them."""

    def open_pass(self, tower: Tower | None, rows: slice) -> None:  # noqa: B027
        """Before the student's pass over these rows of the window, by one tower or (None) both."""

    @abstractmethod
    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """Mean over the pairs of one micro-batch, in nats; `rows` says where it lies in the window."""

    def close_step(self, student: nn.Module, *, taken: bool) -> None:  # noqa: B027
        """After each optimizer step; `taken` is False where the scaler of fp16 skipped it."""

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


class ByTower(Method):
    """A loss that is a sum of an image part and a text part, since its keys carry no gradient.

    A tower's graph can then be gone before the other's begins: the larger of the two is the peak, not both.
    """

    by_tower = True
    """Whether it is such a sum as it is set."""

    def __init__(self, fabric: Fabric):
        self.fabric, self.passes = fabric, Passes(fabric)

    def use(self, passes: Passes) -> None:
        """For its own passes too."""
        self.passes = passes

    @abstractmethod
    def tower_loss(
        self, tower: Tower, query: Float[Tensor, "b d"], head: Head, part: Window, rows: slice
    ) -> Float[Tensor, ""]:
        """That tower's part of `loss`; `query` holds its embeddings of the rows."""

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """Both parts, for a model that embeds images and texts in one pass only."""
        head = Head(query.scale, query.bias)
        image = self.tower_loss("image", query.image, head, part, rows)
        return image + self.tower_loss("text", query.text, head, part, rows)


class InBatch(Method):
    """A loss among the live embeddings of a micro-batch, over all ranks."""

    def __init__(self, pair_loss: PairLoss):
        self.pair_loss = pair_loss

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """Own queries against the embeddings of every rank's micro-batch."""
        return self.pair_loss(query, gathered_embeddings(query), positives_of(part.study, part.text))


def positives_of(study: Int[Tensor, " b"], text: Int[Tensor, " b"]) -> Bool[Tensor, "b wb"]:
    """Which pairs of all ranks belong to each of these."""
    all_studies, all_texts = gathered(torch.stack([study, text], dim=1)).unbind(dim=1)
    return positive_mask(study, text, all_studies, all_texts)
