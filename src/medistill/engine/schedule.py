"""Learning rate and alpha as functions of how far a run is."""

import math

GAMMA_END = 0.2
"""Least weight of the newest batch in `fastclip`'s normalizers (FastCLIP, Wei et al. 2024)."""


def lr_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at optimizer step `step` of `steps`: linear warm-up, cosine to 0."""
    warm = warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1))) / 2


def alpha_at(epoch: float, alpha: float, ramp: float) -> float:
    """Share of the teacher's similarities in the targets, rising from 0 over the first `ramp` epochs."""
    return alpha * min(1.0, epoch / ramp) if ramp > 0 else alpha


def gamma_at(progress: float) -> float:
    """That weight at `progress` 0..1 of the run: a half cosine from 1 over its first half, as there."""
    return GAMMA_END + (1 - GAMMA_END) * (1 + math.cos(math.pi * min(1.0, 2 * progress))) / 2
