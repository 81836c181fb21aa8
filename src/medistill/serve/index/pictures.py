"""The picture of an indexed case, from the corpus it is of."""

import functools

import numpy as np
from jaxtyping import UInt8

from medistill.data.corpus import Corpus, Rows, corpus_hash, open_corpus
from medistill.errors import CallError
from medistill.serve.index.about import Origin
from medistill.serve.index.case import Case, case_id
from medistill.serve.index.protocol import Index


def case_image(index: Index, case: Case) -> UInt8[np.ndarray, "h w"]:
    """8-bit grey, read where the corpus lay when it was embedded; CallError if it moved or changed."""
    origin = origin_of(index, case)
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
