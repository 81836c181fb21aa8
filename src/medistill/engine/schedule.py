"""Learning rate and alpha as functions of how far a run is."""

import math


def lr_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at optimizer step `step` of `steps`: linear warm-up, cosine to 0."""
    warm = warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1))) / 2


def alpha_at(epoch: float, alpha: float, ramp: float) -> float:
    """Share of the teacher's similarities in the targets, rising from 0 over the first `ramp` epochs."""
    return alpha * min(1.0, epoch / ramp) if ramp > 0 else alpha
