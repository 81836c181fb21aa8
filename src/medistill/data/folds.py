"""A corpus whose splits are drawn anew, one part of the patients to test on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from medistill.data.corpus import Corpus, Rows, corpus_hash
from medistill.data.split import fold_split

SPLITS = ("train", "val", "test")
_VAL = 0.1
"""Share of the patients to validate on where the corpus has no such split, as `validation_patients` takes."""


@dataclass(frozen=True)
class Fold:
    """The part of the patients that is tested on."""

    number: int
    """From 0."""
    of: int


class FoldedCorpus(Corpus):
    """A corpus that is tested on one fold of its patients and trained and validated on the others.

    Every patient is tested on in one fold of all, with all images and spellings of the id, whatever split the
    corpus has for it. As large a share of the others is validated on as in the corpus's own splits.
    """

    def __init__(self, corpus: Corpus, fold: Fold) -> None:
        super().__init__(corpus.path, corpus.card)
        self.own_splits, self.splits, self.fold = corpus.splits, SPLITS, fold

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "own_splits": self.own_splits, "fold": self.fold}

    @cached_property
    def split_names(self) -> np.ndarray:
        """The split of each row in this fold."""
        patients = self.everyone.patient_ids
        split = partial(fold_split, fold=self.fold.number, folds=self.fold.of, val=self.validated)
        split_of = {patient: split(patient) for patient in set(patients)}
        return np.array([split_of[patient] for patient in patients])

    @property
    def everyone(self) -> Rows:
        """All rows: those tested on in the folds together."""
        return Rows(self, np.arange(self.table.num_rows))

    @property
    def counted_card(self) -> dict[str, Any]:
        """The corpus's card with the counts of these splits in place of its own."""
        return {**self.card, "splits": {name: self._counts(self.split(name)) for name in self.splits}}

    def _counts(self, rows: Rows) -> dict[str, Any]:
        """As `prepare` counts a split: findings by images."""
        known = {"present": 1, "absent": 0, "uncertain": -1}
        return {
            "images": len(rows),
            "studies": len(set(rows.study_ids)),
            "patients": len(set(rows.patient_ids)),
            "findings": {
                finding: {word: int((column == value).sum()) for word, value in known.items()}
                for finding, column in zip(self.findings, rows.labels.T, strict=True)
            },
        }

    @property
    def validated(self) -> float:
        """The share to validate on of the patients that are not tested on, by the corpus's own splits."""
        own = self.table["split"].to_pylist()
        pairs = set(zip(own, self.everyone.patient_ids, strict=True))
        train, val = (sum(split == name for split, _ in pairs) for name in ("train", "val"))
        return val / (train + val) if val else _VAL


def in_fold(corpus: Corpus, *, fold: int, folds: int) -> Corpus:
    """The corpus with the splits of that fold; with its own where there are none."""
    return FoldedCorpus(corpus, Fold(fold, folds)) if folds else corpus


def fold_account(corpus: Any) -> dict[str, int]:
    """What an account of figures says of the fold; nothing of a corpus with its own splits."""
    return {"fold": corpus.fold.number, "folds": corpus.fold.of} if isinstance(corpus, FoldedCorpus) else {}


def as_trained_on(corpus: Corpus, model: Any) -> Corpus:
    """The corpus with the splits that the model was trained with: it is tested on no patient it knows.

    A corpus that it was not trained on keeps its own, as does any for a model that knows of no folds.
    """
    left_out: Mapping[str, Any] | None = getattr(model, "left_out", None)
    if left_out is None or left_out["corpus"] != corpus_hash(corpus):
        return corpus
    return in_fold(corpus, fold=left_out["fold"], folds=left_out["folds"])
