"""Gradient caching: the exact gradient of a whole window, a micro-batch of activations at a time."""

from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor

from medistill.data.loader.windows import Window
from medistill.engine.checkpoint import random_state, restore_random_state
from medistill.engine.gather import gathered_embeddings
from medistill.engine.method import Method, PairLoss, chunk_rows, positives_of
from medistill.model.dual import Embeddings


class Cached(Method):
    """GradCache (Gao et al. 2021) for any loss on a window's embeddings; a window is one optimizer step.

    1. The student embeds the window without gradient, the random state of each micro-batch put by.
    2. The loss of the window gives its gradient with respect to the embeddings, the scale and the bias.
    3. Each micro-batch is embedded again, from the same random state, and receives its rows of that gradient.
    """

    def __init__(self, fabric: Fabric, pair_loss: PairLoss):
        self.fabric, self.pair_loss = fabric, pair_loss
        self.random: dict[int, dict[str, Any]] = {}

    def open_window(self, student: _FabricModule, window: Window, micro: int) -> None:
        """Steps 1 and 2."""
        own = self._embedded(student, window, micro)
        own = Embeddings(*(x.detach().requires_grad_() for x in own))  # leaves: the graph ends at them
        positive = positives_of(*(ids.to(self.fabric.device) for ids in (window.study, window.text)))
        self.window_loss = self.pair_loss(own, gathered_embeddings(own), positive)
        given = torch.autograd.grad(self.window_loss, own, allow_unused=True, materialize_grads=True)
        self.gradient = Embeddings(*given)
        self.pairs = len(window)

    @torch.no_grad()
    def _embedded(self, student: _FabricModule, window: Window, micro: int) -> Embeddings:
        self.random.clear()
        chunks: list[Embeddings] = []
        for rows in chunk_rows(len(window), micro):
            self.random[rows.start] = random_state()
            part = window.part(rows, self.fabric.device)
            chunks.append(student(*part.inputs))
        image, text, *_ = zip(*chunks, strict=True)
        return chunks[0]._replace(image=torch.cat(image), text=torch.cat(text))

    def open_micro(self, rows: slice) -> None:
        """Dropout must fall as it did in the first pass."""
        restore_random_state(self.random[rows.start])

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """The window's loss, with this micro-batch's part of its gradient.

        A micro-batch is weighed by its share of the window. Scale and bias want that, since every
        micro-batch has the whole of their gradient; the rows, which it alone has, must not be scaled down.
        """
        given = self.gradient
        of_rows = (query.image * given.image[rows] + query.text * given.text[rows]).sum()
        # Linear in what the student gives: its gradient is the cached one, whatever the towers hold.
        of_window = query.scale * given.scale + query.bias * given.bias
        surrogate = of_rows * (self.pairs / len(part)) + of_window
        # The value of the window's loss with the gradient of the surrogate.
        return surrogate - surrogate.detach() + self.window_loss.detach()
