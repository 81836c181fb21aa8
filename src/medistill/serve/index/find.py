"""`medistill search`: a query from files and words, its hits for scripts, and the picture of a case."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from medistill.data.corpus import Corpus, Rows, corpus_hash, open_corpus
from medistill.errors import CallError, MedistillError
from medistill.model.embedder import UnitEmbedder
from medistill.model.writing import warn_of_writing
from medistill.serve.index.about import Origin
from medistill.serve.index.case import Case, Hit, case_id
from medistill.serve.index.filters import Filters
from medistill.serve.index.index import open_index
from medistill.serve.index.protocol import Index
from medistill.serve.index.query import model_of, query_vector
from medistill.serve.reading import read_images
from medistill.system.isolated import GaveUp


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is looked for."""

    text: str | None
    image: Path | None
    weight: float
    """With both, what the image counts."""
    k: int
    filters: Filters
    per_patient: bool

    def __post_init__(self) -> None:
        if self.text is None and self.image is None:
            raise CallError("nothing to search for: give --text, --image or both")
        if self.text is not None and not self.text.strip():
            raise CallError("--text is empty: say what to look for")


def find(
    index: str | Path, query: Query, *, model: str | Path | None = None, device: str = "auto"
) -> list[Hit]:
    """The nearest studies; CallError if the model named, or remembered, is not the index's."""
    opened = open_index(index)
    try:
        query.filters.check(opened.values, len(opened))  # before the model is loaded
        embedder = model_of(opened.about, model, device)
        warn_of_writing(embedder, {query.text: [query.text]} if query.text else {})
        image = None if query.image is None else image_vector(embedder, query.image)
        text = None if query.text is None else embedder.encode_texts([query.text])[0]
        vector = query_vector(image, text, weight=query.weight)
        return opened.search(vector, query.k, filters=query.filters, per_patient=query.per_patient)
    finally:
        opened.close()


def image_vector(embedder: UnitEmbedder, path: Path) -> Float32[np.ndarray, " d"]:
    """The vector of a PNG, JPEG or DICOM file, read in a process with limits."""
    if not path.is_file():
        raise CallError(f"no such file: {path}")
    (grey,) = read_images([path], size=getattr(embedder.model, "size", None), workers=1)
    if isinstance(grey, GaveUp):
        raise MedistillError(f"--image cannot be read: {grey.reason}")
    return embedder.encode_images([grey])[0]


def as_json(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """What `--json` prints."""
    return [{"score": round(hit.score, 6), **vars(hit.case), "labels": dict(hit.case.labels)} for hit in hits]


def case_image(index: Index, case: Case) -> UInt8[np.ndarray, "h w"]:
    """8-bit grey, read where the corpus lay when it was embedded; CallError if it moved or changed."""
    return image_in(origin_of(index, case), case)


def image_in(origin: Origin, case: Case) -> UInt8[np.ndarray, "h w"]:
    """The same, of a case whose corpus is known."""
    corpus = _opened(origin.path, origin.sha256)
    return Rows(corpus, np.array([case.row])).image(0)


def origin_of(index: Index, case: Case) -> Origin:
    """The corpus that a case is of."""
    for origin in index.about.corpora:
        if case_id(origin.sha256, case.row) == case.id:
            return origin
    raise CallError("the case is of no corpus of this index")


@functools.lru_cache(maxsize=8)
def _opened(path: str, sha256: str) -> Corpus:
    """By its hash too: another corpus may have taken the place, which another index is of."""
    try:
        corpus = open_corpus(path)
    except CallError as error:
        raise CallError(f"the corpus of this index is not where it was: {error}") from None
    if corpus_hash(corpus) != sha256:
        raise CallError(f"the corpus in {path} is not the one that was indexed: embed and index it anew")
    return corpus
