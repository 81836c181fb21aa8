"""Global contrast: a pair's normalizer is a running average over the batches it was in, not that of one."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor, distributed

from medistill.data.loader.windows import Window
from medistill.engine.batching import Batching
from medistill.engine.gather import gathered, gathered_embeddings, ranks
from medistill.engine.method import Method, positives_of
from medistill.engine.schedule import gamma_at
from medistill.model.dual import Embeddings
from medistill.objective import log_normalizers

RHO = 6.5
"""Of version 3: FastCLIP's own at its smallest size, three million pairs."""


class FastClip(Method):
    """SogCLR (Yuan et al. 2022) and FastCLIP (Wei et al. 2024) at any batch size, for a few floats a pair.

    A pair's normalizer u is the mean over its negatives j of exp((s_ij - s_ii) / tau) in the whole corpus. A
    batch gives an estimate g of it, u moves towards g before it is used, and the gradient is tau g' / u where
    in-batch contrast has tau g' / g. Version 1 keeps tau as it starts; version 3 learns it by
    tau (log u_image + log u_text + 2 rho).
    """

    def __init__(self, *, version: str, rho: float = RHO):
        self.learns_tau, self.rho, self.gamma = version == "v3", rho, 1.0
        self.log_u = torch.empty(2, 0)
        """Logarithms of the normalizers of images and texts, by the pair's row of the corpus; -inf: unmet."""

    def set_schedule(self, progress: float, epoch: float) -> None:
        """Gamma."""
        self.gamma = gamma_at(progress)

    def open_window(self, student: _FabricModule, window: Window, batching: Batching) -> None:
        """Room for the window's pairs."""
        if window.row is None:
            raise ValueError("found a window without rows: fastclip needs each pair's row of the corpus")
        # The same on all ranks, since each keeps the normalizers of all pairs.
        device = next(student.parameters()).device
        last = window.row.max()  # on the host: alone, nothing waits for the card
        most = int(gathered(last[None].to(device)).max() if ranks() > 1 else last) + 1
        room = torch.full((2, max(0, most - self.log_u.shape[1])), -math.inf, device=device)
        self.log_u = torch.cat([self.log_u.to(device), room], dim=1)

    def loss(self, query: Embeddings, part: Window, rows: slice) -> Float[Tensor, ""]:
        """Own queries against the embeddings of every rank's micro-batch; the normalizers move first."""
        assert part.row is not None
        keys = gathered_embeddings(query)
        positive = positives_of(part.study, part.text)
        own = own_keys(part.row)
        scale = query.scale if self.learns_tau else query.scale.detach()
        log_g = torch.stack(
            [
                log_normalizers(query.image, keys.text, positive, own, scale=scale),
                log_normalizers(query.text, keys.image, positive, own, scale=scale),
            ]
        )
        log_u = self._moved(part.row, log_g.detach())
        loss = _global_contrast(log_g, log_u, 1 / scale, self.rho if self.learns_tau else 0.0)
        return loss + 0 * query.scale  # on several ranks every weight must have a gradient

    def _moved(self, row: Int[Tensor, " b"], log_g: Float[Tensor, "2 b"]) -> Float[Tensor, "2 b"]:
        """The normalizers of these pairs, u = (1 - gamma) u + gamma g; that of a pair not met before is g."""
        old = self.log_u = self.log_u.to(log_g.dtype)
        old = old[:, row]
        mean = torch.logaddexp(old + _log(1 - self.gamma), log_g + _log(self.gamma))
        # Nothing but copies of its own report beside it: g says nothing.
        new = torch.where(old.isinf(), log_g, torch.where(log_g.isinf(), old, mean))
        self.log_u[:, gathered(row)] = gathered(new.T.contiguous()).T
        return new

    def state_dict(self) -> dict[str, Any]:
        """The normalizers."""
        return {"log_u": self.log_u}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.log_u = state["log_u"]


def own_keys(own: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Where a rank's own pairs lie among the gathered ones of all."""
    first = distributed.get_rank() * len(own) if ranks() > 1 else 0
    return torch.arange(first, first + len(own), device=own.device)


def _global_contrast(
    log_g: Float[Tensor, "2 b"], log_u: Float[Tensor, "2 b"], tau: Float[Tensor, ""], rho: float
) -> Float[Tensor, ""]:
    """tau (log u_image + log u_text + 2 rho), mean over pairs; where u has a gradient, it is that of g."""
    has_negatives = log_g.isfinite()
    ratio = torch.where(has_negatives, log_g - log_u, 0).exp()
    value = torch.where(has_negatives, log_u, 0)
    return (tau * (value + rho) + tau.detach() * (ratio - ratio.detach())).sum(dim=0).mean()


def _log(share: float) -> float:
    return math.log(share) if share else -math.inf
