"""What an objective has to say while a window goes by."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor, nn

from medistill.data.loader.windows import Window
from medistill.engine.gather import gathered, gathered_embeddings
from medistill.model.dual import DualEncoder, Embeddings
from medistill.objective import positive_mask

PairLoss = Callable[[Embeddings, Embeddings, Bool[Tensor, "b n"]], Float[Tensor, ""]]
"""b queries, n keys, which of them belong together -> mean over the queries, in nats."""


class Method(ABC):
    """An objective at work; `train_window` calls these in this order. Only `loss` must be there."""

    def set_schedule(self, progress: float, epoch: float) -> None:  # noqa: B027
        """Before a window: how far the run is, 0..1, and in epochs."""

    def open_window(self, student: _FabricModule, window: Window, micro: int) -> None:  # noqa: B027
        """Before the first micro-batch; again if it turns out that `micro` pairs were too many."""

    def open_micro(self, rows: slice) -> None:  # noqa: B027
        """Before the student's pass over these rows of the window."""

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


def chunk_rows(pairs: int, size: int) -> list[slice]:
    """Slices of at most `size` rows that cover `pairs` rows in order."""
    return [slice(start, min(start + size, pairs)) for start in range(0, pairs, size)]
