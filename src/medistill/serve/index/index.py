"""Stand-in until the index package lands: exact search over a corpus in memory."""

import hashlib
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable
import numpy as np
from medistill.data.corpus import Rows, open_corpus
from medistill.evaluate.fingerprint import corpus_hash
from medistill.serve.index.case import Case, Hit
from medistill.serve.index.filters import Filters


@runtime_checkable
class Index(Protocol):
    about: Any

    def __len__(self) -> int: ...
    def search(
        self, query, k: int, *, filters: Filters = Filters(), per_patient: bool = True
    ) -> list[Hit]: ...
    def case(self, id: str) -> Case | None: ...
    def close(self) -> None: ...


class Skeleton:
    def __init__(self, path, model, sha):
        from medistill.evaluate.embed import embed_images

        corpus = open_corpus(path)
        rows = Rows(corpus, np.arange(corpus.table.num_rows))
        self.vectors = embed_images(model, rows, np.arange(len(rows)))
        cols = {
            n: rows.column(n)
            for n in (
                "study_id",
                "patient_id",
                "split",
                "view",
                "sex",
                "age",
                "date",
                "source",
                "text",
                "labels",
            )
        }
        h = corpus_hash(corpus)
        self.cases = [
            Case(
                id=hashlib.sha256(f"{h}{i}".encode()).hexdigest()[:24],
                row=i,
                **{n: c[i] for n, c in cols.items() if n not in ("labels", "date")},
                date=str(cols["date"][i]) if cols["date"][i] else None,
                labels={k: v for k, v in (cols["labels"][i] or {}).items() if v is not None},
            )
            for i in range(len(rows))
        ]
        self.by_id = {c.id: c for c in self.cases}
        d = lambda n: sorted({getattr(c, n) for c in self.cases if getattr(c, n)})
        self.about = SimpleNamespace(
            model_sha256=sha,
            findings=corpus.findings,
            views=d("view"),
            sexes=d("sex"),
            sources=d("source"),
            phantoms=corpus.card["source"] == "phantom",
            corpora=[SimpleNamespace(path=str(path), hash=h)],
        )

    def __len__(self):
        return len(self.cases)

    def search(self, query, k, *, filters=Filters(), per_patient=True):
        scores = self.vectors @ query
        hits, seen = [], set()
        for i in np.argsort(-scores):
            c = self.cases[i]
            if filters.views and c.view not in filters.views or filters.sexes and c.sex not in filters.sexes:
                continue
            if any(c.labels.get(f) != 1 for f in filters.labels):
                continue
            key = c.patient_id if per_patient else c.study_id
            if key in seen:
                continue
            seen.add(key)
            hits.append(Hit(case=c, score=float(scores[i])))
            if len(hits) == k:
                break
        return hits

    def case(self, id):
        return self.by_id.get(id)

    def close(self): ...


def open_index(name):
    from medistill.evaluate.fingerprint import model_hash
    from medistill.model.any_model import open_model

    corpus, _, run = str(name).partition("@")
    model = open_model(run)
    found = Skeleton(corpus, model, model_hash(model))
    found.case_at = lambda table, row: found.cases[row]
    return found
