"""Pairs of images of different splits that show the same picture."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Float32, Int64, UInt8

from medistill.data.check.images import Measures, in_order
from medistill.data.check.look import agreement
from medistill.data.corpus import Corpus
from medistill.data.image import decode_stored

NEAR_IDENTICAL = 0.95
"""Both scores at least this: the same picture in another encoding or size. See docs/check.md."""
ALIKE = 0.90
"""Both scores at least this: windowed or written on, the next slice, or a patient seen twice."""
DETAILED = 128
"""Pixels of the shorter side. On fewer, films of different patients may score above ALIKE."""
_MOST = 4  # candidates kept of one image: enough to see that it leaks
_QUERIES, _GALLERY = 512, 8192  # images compared at once: 16 MB of similarities
_CHUNK = 32  # pairs a worker confirms at once


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of rows in different splits and how alike their images are, 0..1, the most alike first."""

    rows: Int64[np.ndarray, "p 2"]
    """The row of the earlier split first."""
    score: Float32[np.ndarray, " p"]


def alike_pairs(
    corpus: Corpus,
    measures: Measures,
    split: Int64[np.ndarray, " n"],
    *,
    workers: int = 1,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Pairs:
    """Pairs above ALIKE in both scores: of their looks, all against all, then of the images themselves.

    Blank images say nothing, and images with equal pixels are a check of their own.
    split   number of each row's split, by which they are ordered
    """
    rows = _judged(measures, split)
    compared = functools.partial(on_progress, "comparing images") if on_progress else None
    pairs, coarse = _candidates(measures.looks, split, rows, compared)
    distinct = measures.pixels[pairs[:, 0]] != measures.pixels[pairs[:, 1]]
    pairs, coarse = pairs[distinct], coarse[distinct]
    chunks = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    fine: list[float] = []
    for part in in_order(functools.partial(_agreements, corpus), chunks, workers if len(chunks) > 8 else 1):
        fine += part
        if on_progress:
            on_progress("looking closer", len(fine), len(pairs))
    score = np.minimum(coarse, np.array(fine, np.float32))
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -score))
    order = order[score[order] >= _least(measures, pairs[order])]
    return Pairs(rows=pairs[order], score=score[order])


def _least(measures: Measures, pairs: Int64[np.ndarray, "p 2"]) -> Float32[np.ndarray, " p"]:
    """The score that counts: where either image is small, there is too little to tell patients apart by."""
    small = measures.shape[pairs].min(axis=(1, 2)) < DETAILED
    return np.where(small, NEAR_IDENTICAL, ALIKE).astype(np.float32)


def _judged(measures: Measures, split: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    """One row for each picture of each split."""
    rows = np.flatnonzero(measures.readable & ~measures.blank)
    keys = np.stack([split[rows].astype(np.uint64), measures.pixels[rows]])
    return rows[np.sort(np.unique(keys, axis=1, return_index=True)[1])]


def _candidates(
    looks: Float16[np.ndarray, "n 255"],
    split: Int64[np.ndarray, " n"],
    rows: Int64[np.ndarray, " m"],
    on_progress: Callable[[int, int], None] | None,
) -> tuple[Int64[np.ndarray, "p 2"], Float32[np.ndarray, " p"]]:
    """For each image the `_MOST` of earlier splits whose look is most like its own, if above ALIKE.

    All against all in blocks of a matrix product: exact, 14 s of one core for 100,000 random looks.
    """
    pairs, scores = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    later = rows[split[rows] > split[rows].min()] if len(rows) else rows
    done = 0
    for own in np.unique(split[later]):
        gallery = rows[split[rows] < own]
        mine = later[split[later] == own]
        for start in range(0, len(mine), _QUERIES):
            queries = mine[start : start + _QUERIES]
            near, score = _nearest(looks, queries, gallery)
            query, place = np.nonzero(score >= ALIKE)
            pairs.append(np.stack([near[query, place], queries[query]], axis=1))
            scores.append(score[query, place])
            done += len(queries)
            if on_progress:
                on_progress(done, len(later))
    return np.concatenate(pairs), np.concatenate(scores)


def _nearest(
    looks: Float16[np.ndarray, "n 255"], queries: Int64[np.ndarray, " q"], gallery: Int64[np.ndarray, " g"]
) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
    """The rows of the gallery most like each query, negatives included, and the similarity of their looks."""
    best = np.zeros((len(queries), _MOST), np.int64)
    score = np.full((len(queries), _MOST), -1, np.float32)
    query = looks[queries].astype(np.float32)
    for start in range(0, len(gallery), _GALLERY):
        block = gallery[start : start + _GALLERY]
        similarity = np.abs(query @ looks[block].astype(np.float32).T)
        hit = np.flatnonzero(similarity.max(axis=1) >= ALIKE)  # few images have any: only those are sorted
        both = np.concatenate([score[hit], similarity[hit]], axis=1)
        names = np.concatenate([best[hit], np.broadcast_to(block, (len(hit), len(block)))], axis=1)
        kept = np.argpartition(-both, _MOST, axis=1)[:, :_MOST]
        score[hit] = np.take_along_axis(both, kept, axis=1)
        best[hit] = np.take_along_axis(names, kept, axis=1)
    return best, score


def _agreements(corpus: Corpus, pairs: Int64[np.ndarray, "p 2"]) -> list[float]:
    """How far the images of each pair agree, in whatever process."""

    def decoded(row: int) -> UInt8[np.ndarray, "h w"]:
        return decode_stored(corpus.cell("image", row))

    kept = functools.lru_cache(_MOST)(decoded)  # one image's pairs come one after the other
    return [agreement(kept(int(one)), kept(int(other))) for one, other in pairs]
