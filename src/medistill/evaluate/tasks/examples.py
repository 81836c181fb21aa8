"""Images of a split with the reports that lie nearest to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from medistill.data.studies import studies_of
from medistill.evaluate.tasks.retrieval import first_ranks, similarity
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import Reported, embed_images, reported_of
from medistill.system.progress import Progress, counted

EXAMPLES = 6
NEAREST = 3


@dataclass(frozen=True)
class Example:
    """One image of the split with the reports that lie nearest to it."""

    image: UInt8[np.ndarray, "h w"]
    nearest: tuple[str, ...]
    own: str
    """The study's own report."""
    own_rank: int
    """Where it came, from 1."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The examples of one split."""

    examples: tuple[Example, ...]
    texts: int
    """How many distinct reports they were ranked among."""


def examples_by_split(
    model: UnitEmbedder,
    corpus: Any,
    splits: Sequence[str],
    *,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Shown]:
    """Shown of the studies with a report of each of these splits, whichever of them is scored by what."""
    by_split: dict[str, Shown] = {}
    for split in dict.fromkeys(splits):
        rows = corpus.split(split)
        studies = studies_of(rows)
        studies = studies.select(studies.reported)
        if not len(studies):
            continue
        on_done = counted(on_progress, f"{split} images for examples", len(studies))
        images = embed_images(model, rows, studies.rows, on_done)
        reported = reported_of(model, studies, images)
        drawn = examples_of(rows, reported, seed=seed)
        by_split[split] = Shown(examples=drawn, texts=len(reported.gallery.texts))
    return by_split


def examples_of(rows: Any, reported: Reported, *, seed: int) -> tuple[Example, ...]:
    """Studies drawn at random from those whose report is theirs alone, or from all if there are none."""
    studies, gallery = reported.studies, reported.gallery
    if not len(studies):
        return ()
    sharing = np.bincount(gallery.text_of)[gallery.text_of]
    pool = np.flatnonzero(sharing == 1) if (sharing == 1).any() else np.arange(len(studies))
    chosen = np.random.default_rng([seed, EXAMPLES]).permutation(pool)[:EXAMPLES]
    similar = similarity(reported.images[chosen], reported.reports)
    ranks = first_ranks(similar, gallery.text_of[chosen][:, None] == np.arange(len(gallery.texts)))
    # The own report last among its ties, as its rank counts them.
    own = np.arange(len(gallery.texts)) == gallery.text_of[chosen][:, None]
    order = np.stack([np.lexsort((mine, -near)) for mine, near in zip(own, similar, strict=True)])
    return tuple(
        Example(
            rows.image(int(studies.rows[case])),
            tuple(gallery.texts[text] for text in nearest[:NEAREST]),
            gallery.texts[gallery.text_of[case]],
            int(rank),
        )
        for case, nearest, rank in zip(chosen, order, ranks, strict=True)
    )
