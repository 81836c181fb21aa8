"""Prompts as vectors."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from medistill.evaluate.prompts.prompts import SIDES
from medistill.model.embedding import Embedder, embed_texts, unit_mean


def embed_prompts(
    model: Embedder, prompts: Mapping[str, Mapping[str, Sequence[str]]]
) -> tuple[Float32[np.ndarray, "f d"], Float32[np.ndarray, "f d"]]:
    """Each finding's positive and negative side: the mean of its prompts' embeddings, made unit."""
    texts = [text for sides in prompts.values() for side in SIDES for text in sides[side]]
    lengths = [len(sides[side]) for sides in prompts.values() for side in SIDES]
    embedded = embed_texts(model, texts)
    means = np.stack([unit_mean(part) for part in np.split(embedded, np.cumsum(lengths)[:-1])])
    return means[0::2], means[1::2]
