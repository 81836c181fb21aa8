"""A model and its index made ready to answer."""

from pathlib import Path
from typing import Any

from medistill.data.corpus import Corpus, corpus_hash, open_corpus
from medistill.errors import CallError
from medistill.evaluate.run import embeddings_of
from medistill.model.any_model import open_model
from medistill.model.embedder import UnitEmbedder
from medistill.model.fingerprint import model_hash
from medistill.model.remembering import Remembering
from medistill.serve.app.door.limits import Limits
from medistill.serve.app.forms import IndexAbout
from medistill.serve.app.judging import Known, known_findings
from medistill.serve.app.lanes import Lanes
from medistill.serve.app.served import Served
from medistill.serve.index.case import case_id
from medistill.serve.index.protocol import Index
from medistill.system.progress import Progress

EXAMPLES = 8
_SUGGESTIONS = ("pleural effusion", "pneumothorax", "cardiomegaly", "consolidation", "edema", "atelectasis")
"""Where no index says which findings its corpus labels."""


def load_served(
    name: str | Path,
    index: Index | None,
    limits: Limits,
    on_progress: Progress | None = None,
    *,
    device: str = "auto",
) -> Served:
    """The model of that name with an index of its embeddings; CallError if the index is another model's."""
    opened = open_model(name, device)
    sha256 = model_hash(opened)
    if index is not None:
        index.about.check_model(sha256, UnitEmbedder(opened).preprocessing, str(name))
    corpus = _corpus_of(index) if index is not None else None
    known = _known(opened, corpus, sha256, on_progress) if corpus is not None else None
    return Served(
        lanes=Lanes(opened, limits),
        sha256=sha256,
        dim=opened.dim,
        index=index,
        there=IndexAbout.model_validate({"images": len(index), **vars(index.values)})
        if index is not None
        else None,
        known=known,
        suggestions=tuple(corpus.findings) if corpus is not None and corpus.findings else _SUGGESTIONS,
        examples=_examples(index, corpus) if index is not None and corpus is not None else (),
    )


def _corpus_of(index: Index) -> Corpus | None:
    """The corpus the index began with, if it is where it was and what it was."""
    for origin in index.about.corpora[:1]:
        try:
            corpus = open_corpus(origin.path)
        except CallError:
            return None
        return corpus if corpus_hash(corpus) == origin.sha256 else None
    return None


def _known(model: Any, corpus: Corpus, sha256: str | None, on_progress: Progress | None) -> Known | None:
    kept = embeddings_of(corpus.path)  # `medistill embed` has left the validation images there
    embedder = Remembering(model, kept) if kept.is_dir() else UnitEmbedder(model)
    about = {"sha256": sha256, "preprocessing": embedder.preprocessing}
    return known_findings(embedder, corpus, about, on_progress)


def _examples(index: Index, corpus: Corpus) -> tuple[str, ...]:
    """Cases of the test split that show different findings; phantoms alone, which belong to nobody."""
    if not index.about.phantoms or "test" not in corpus.splits:
        return ()
    rows = corpus.split("test")
    first: dict[str, int] = {}
    for place, labels in enumerate(rows.labels):
        shown = [corpus.findings[f] for f in (labels == 1).nonzero()[0]]
        for finding in shown or ["none"]:
            first.setdefault(finding, int(rows.indices[place]))
    names = [case_id(corpus_hash(corpus), row) for row in sorted(set(first.values()))]
    return tuple(name for name in names if index.case(name))[:EXAMPLES]
