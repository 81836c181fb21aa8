"""Gradient caching: the exact gradient of a whole window, a micro-batch of activations at a time."""

from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor

from medistill.data.loader.windows import Window
from medistill.engine.batching import TOWERS, Batching, Tower, chunk_rows
from medistill.engine.checkpoint import random_state, restore_random_state
from medistill.engine.gather import gathered_embeddings
from medistill.engine.method import ByTower, PairLoss, positives_of
from medistill.engine.tf32 import tf32
from medistill.engine.towers import separable
from medistill.model.dual import DualEncoder, Embeddings, Head


class Cached(ByTower):
    """GradCache (Gao et al. 2021) for any loss on a window's embeddings; a window is one optimizer step.

    1. The student embeds the window without gradient, the random state of each pass put by.
    2. The loss of the window gives its gradient with respect to the embeddings, the scale and the bias.
    3. Each pass is made again, from the same random state, and receives its rows of that gradient.
    """

    def __init__(self, fabric: Fabric, pair_loss: PairLoss):
        super().__init__(fabric)
        self.pair_loss = pair_loss
        self.random: dict[tuple[Tower | None, int], dict[str, Any]] = {}

    def open_window(self, student: _FabricModule, window: Window, batching: Batching) -> None:
        """Steps 1 and 2."""
        own = self._embedded(student, window, batching)
        own = Embeddings(*(x.detach().requires_grad_() for x in own))  # leaves: the graph ends at them
        ids = (x.to(self.fabric.device, non_blocking=True) for x in (window.study, window.text))
        with tf32(False):
            self.window_loss = self.pair_loss(own, gathered_embeddings(own), positives_of(*ids))
            given = torch.autograd.grad(self.window_loss, own, allow_unused=True, materialize_grads=True)
        self.gradient = Embeddings(*given)
        self.pairs = len(window)

    @torch.no_grad()
    def _embedded(self, student: _FabricModule, window: Window, batching: Batching) -> Embeddings:
        """The whole window, by the passes that `train_window` will make again."""
        self.random.clear()
        if model := separable(student):
            image, text = (self._by_tower(model, tower, window, batching) for tower in TOWERS)
            return Embeddings(image, text, *model.head())
        chunks: list[Embeddings] = []
        for rows in chunk_rows(len(window), batching.micro):
            self.random[None, rows.start] = random_state()
            chunks.append(student(*window.part(rows, self.fabric.device).inputs))
        image, text, *_ = zip(*chunks, strict=True)
        return chunks[0]._replace(image=torch.cat(image), text=torch.cat(text))

    def _by_tower(self, model: DualEncoder, tower: Tower, window: Window, batching: Batching) -> Tensor:
        chunks: list[Tensor] = []
        for rows in batching.chunks(tower, slice(0, len(window))):
            self.random[tower, rows.start] = random_state()
            chunks.append(self.passes.embed(model, tower, window.part(rows, self.fabric.device)))
        return torch.cat(chunks)

    def open_pass(self, tower: Tower | None, rows: slice) -> None:
        """Dropout must fall as it did in the first pass."""
        restore_random_state(self.random[tower, rows.start])

    def tower_loss(
        self, tower: Tower, query: Float[Tensor, "b d"], head: Head, part: Window, rows: slice
    ) -> Float[Tensor, ""]:
        """The window's loss with the image's part of its gradient; 0 with the text's.

        A pass is weighed by its share of the window. Scale and bias want that, since every pass of the image
        tower has the whole of their gradient; the rows, which it alone has, must not be scaled down.
        """
        # Linear in what the student gives: its gradient is the cached one, whatever the towers hold.
        surrogate = (query * getattr(self.gradient, tower)[rows]).sum() * (self.pairs / len(part))
        if tower == "text":
            return surrogate - surrogate.detach()
        surrogate = surrogate + head.scale * self.gradient.scale + head.bias * self.gradient.bias
        # The value of the window's loss with the gradient of the surrogate.
        return surrogate - surrogate.detach() + self.window_loss.detach()
