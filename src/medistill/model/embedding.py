"""Studies and prompts through a model, one image a study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int

from medistill.data.ahead import Ahead
from medistill.data.studies import Gallery, Studies, gallery_of
from medistill.model.embedder import UnitEmbedder
from medistill.model.remembering import Remembering

_BATCH = 64


@runtime_checkable
class Embedder(Protocol):
    """What evaluation asks of a model: a row an item, numpy or torch; and `scale`, if it has one."""

    def encode_images(self, images: Any) -> Any: ...

    def encode_texts(self, texts: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The studies that have a report, with the embeddings of their images and of the distinct reports."""

    places: Int[np.ndarray, " r"]
    """Where they stand among all studies."""
    studies: Studies
    gallery: Gallery
    images: Float32[np.ndarray, "r d"]
    reports: Float32[np.ndarray, "g d"]


def embed_images(
    model: Embedder,
    rows: Any,
    chosen: Sequence[int] | np.ndarray,
    on_done: Callable[[int], None] | None = None,
) -> Float32[np.ndarray, "n d"]:
    """The embeddings of these rows' images, a batch at a time; `on_done` hears how many each batch held."""
    square = model.square if isinstance(model, UnitEmbedder) else None
    with Ahead(rows, size=square, most=len(chosen)) as ahead:
        if isinstance(model, Remembering):
            return model.encode_rows(ahead, chosen, on_done)
        ahead.expect(chosen)
        parts: list[np.ndarray] = []
        for start in range(0, len(chosen), _BATCH):
            images = [ahead.image(int(row)) for row in chosen[start : start + _BATCH]]
            parts.append(as_array(model.encode_images(images)))
            if on_done:
                on_done(len(images))
        return np.concatenate(parts)


def embed_texts(model: Embedder, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
    """The embeddings of these texts, a batch at a time."""
    starts = range(0, len(texts), _BATCH)
    return np.concatenate(
        [as_array(model.encode_texts(list(texts[start : start + _BATCH]))) for start in starts]
    )


def reported_of(model: Embedder, studies: Studies, images: Float32[np.ndarray, "n d"]) -> Reported:
    """Those of some studies that have a report; `images` are the embeddings of all of them."""
    places = studies.reported
    known = studies.select(places)
    gallery = gallery_of(known.texts)
    reports = embed_texts(model, gallery.texts) if gallery.texts else images[:0]
    return Reported(places=places, studies=known, gallery=gallery, images=images[places], reports=reports)


def unit_mean(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " d"]:
    """The mean of some rows, of norm 1; zeros stay zeros."""
    mean = rows.mean(axis=0)
    return mean / np.maximum(np.linalg.norm(mean), 1e-12)


def as_array(embedding: Any) -> Float32[np.ndarray, "n d"]:
    """A tensor or array as float32 on the host."""
    array = embedding.detach().cpu().float().numpy() if hasattr(embedding, "detach") else embedding
    return np.asarray(array, dtype=np.float32)
