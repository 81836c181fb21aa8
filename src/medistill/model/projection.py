"""From a tower's features to the shared space."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

HeadKind = Literal["linear", "gated"]
TIMES = 8
"""Width of a gated unit's inside, in widths of the tower (SAIL's)."""


class GatedProjection(nn.Module):
    """The gated linear unit of SAIL (Zhang et al., CVPR 2025), as its authors' code has it.

        out(relu6(gate(x)) * value(x)),   x = LayerNorm(features)

    `gate` and `value` are `TIMES` as wide as the features; all three begin at Xavier's uniform, biases at 0.
    The norm comes first because towers differ in scale: after the product, the square of it would count.
    """

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, TIMES * width)
        self.value = nn.Linear(width, TIMES * width)
        self.out = nn.Linear(TIMES * width, dim)
        for layer in (self.gate, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Float[Tensor, "b e"]) -> Float[Tensor, "b d"]:
        """Rows of the shared space, not yet unit."""
        x = self.norm(features)
        return self.out(F.relu6(self.gate(x)) * self.value(x))


def make_projection(kind: HeadKind, width: int, dim: int) -> nn.Module:
    """A matrix without bias, or a gated unit."""
    return GatedProjection(width, dim) if kind == "gated" else nn.Linear(width, dim, bias=False)
