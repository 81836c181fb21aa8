"""From an image, a text or both to the vector that is searched for."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from medistill.errors import CallError
from medistill.model.any_model import is_here, open_model
from medistill.model.embedder import UnitEmbedder
from medistill.model.fingerprint import model_hash
from medistill.serve.index.about import About
from medistill.serve.index.filters import QueryError

_ZERO = 1e-6


def query_vector(
    image: Float32[np.ndarray, " d"] | None,
    text: Float32[np.ndarray, " d"] | None,
    *,
    weight: float = 0.5,
) -> Float32[np.ndarray, " d"]:
    """unit(weight * image + (1 - weight) * text) of unit vectors; that of one alone is the vector itself.

    weight   0..1, what the image counts
    """
    if not 0 <= weight <= 1:
        raise QueryError(f"found a weight of {weight}, expected 0 (the text alone) to 1 (the image alone)")
    if image is None or text is None:
        alone = text if image is None else image
        if alone is None:
            raise QueryError("nothing to search for: give an image, a text or both")
        return alone
    mixed = weight * image + (1 - weight) * text
    length = float(np.linalg.norm(mixed))
    if length < _ZERO:
        raise QueryError("image and text cancel each other out at this weight: search for one of them")
    return (mixed / length).astype(np.float32)


def model_of(about: About, name: str | Path | None = None, device: str = "auto") -> UnitEmbedder:
    """The model to embed queries with: the one named, or where the table's model lay; checked by its hash.

    A name of a hub that only the table gives is not followed: a file may come from elsewhere.
    """
    if name is None and not is_here(about.model):
        kind, _, place = about.model.partition(":")
        shown = f"{kind}:{Path(place).name}" if place.startswith("/") else about.model
        raise CallError(
            f"the index names a model of a hub or a folder that is gone, {shown!r}, and a name in a file is "
            "not followed: give it with --model"
        )
    try:
        opened = open_model(about.model if name is None else name, device)
    except CallError as error:
        if name is not None:
            raise
        raise CallError(f"the index's model is not where it was ({error}): name it with --model") from None
    embedder = UnitEmbedder(opened)
    about.check_model(model_hash(opened), embedder.preprocessing, f"{name or about.model}")
    return embedder


def check_query(query: np.ndarray, k: int, dim: int) -> None:
    """QueryError unless it is one of vectors of `dim` numbers."""
    if query.shape != (dim,):
        raise QueryError(f"found a query of shape {query.shape}, expected ({dim},) as the index's vectors")
    if not np.isfinite(query).all():
        raise QueryError("found NaN or infinity in the query, expected finite numbers")
    if k < 1:
        raise QueryError(f"found k = {k}, expected 1 or more")
