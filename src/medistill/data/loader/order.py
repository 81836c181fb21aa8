"""The order in which an epoch's pairs fall into windows."""

import numpy as np
from jaxtyping import Int


def epoch_windows(
    pairs: int, window: int, *, seed: int, epoch: int, ranks: int = 1
) -> list[Int[np.ndarray, " n"]]:
    """The rows of an epoch, cut into windows; the last one may be short, but is a multiple of `ranks`.

    A row that the last epoch carried over may meet itself in a window; its ids make the two positives.
    """
    rows = epoch_places(pairs, seed=seed, epoch=epoch, ranks=ranks)[:, 1]
    return [rows[start : start + window] for start in range(0, len(rows), window)]


def window_sizes(pairs: int, window: int, *, epoch: int, ranks: int = 1) -> list[int]:
    """Pairs in each of `epoch_windows`, without drawing them."""
    rows = ((epoch + 1) * pairs // ranks - epoch * pairs // ranks) * ranks
    return [min(window, rows - start) for start in range(0, rows, window)]


def shared_windows(
    pairs: int, window: int, *, seed: int, epoch: int, share: tuple[int, int]
) -> list[Int[np.ndarray, "_ 2"]]:
    """What part i of n, `share`, takes of each window of the epoch, as `epoch_places`; parts are equal."""
    part, parts = share
    places = epoch_places(pairs, seed=seed, epoch=epoch, ranks=parts)
    windows = (places[start : start + window] for start in range(0, len(places), window))
    return [np.split(whole, parts)[part] for whole in windows]


def epoch_places(pairs: int, *, seed: int, epoch: int, ranks: int = 1) -> Int[np.ndarray, "n 2"]:
    """(epoch, row) of everything an epoch visits: which permutation a row comes from, and the row.

    All epochs are one endless stream of permutations by (seed, epoch), in which every (epoch, row) occurs
    once. Epoch e takes the places from floor(e * pairs / ranks) * ranks to floor((e + 1) * pairs / ranks) *
    ranks: what `ranks` cannot share evenly is carried to the next epoch. With one rank, nothing is.
    """
    if pairs < ranks:
        raise ValueError(f"{pairs} pairs are too few for {ranks} ranks: each needs at least one")
    carried, left = epoch * pairs % ranks, (epoch + 1) * pairs % ranks
    before = _permutation(pairs, seed, epoch - 1)[pairs - carried :] if carried else []
    own = _permutation(pairs, seed, epoch)[: pairs - left]
    drawn_in = np.repeat([epoch - 1, epoch], [carried, pairs - left])
    return np.stack([drawn_in, np.concatenate([before, own]).astype(np.int64)], axis=1)


def _permutation(pairs: int, seed: int, epoch: int) -> Int[np.ndarray, " n"]:
    return np.random.default_rng((seed, epoch)).permutation(pairs)
