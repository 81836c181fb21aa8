"""The order in which an epoch's pairs fall into windows."""

import numpy as np
from jaxtyping import Int


def epoch_windows(pairs: int, window: int, *, seed: int, epoch: int) -> list[Int[np.ndarray, " n"]]:
    """A permutation of all pairs by (seed, epoch), cut into windows; the last one may be short."""
    order = np.random.default_rng((seed, epoch)).permutation(pairs)
    return [order[start : start + window] for start in range(0, pairs, window)]
