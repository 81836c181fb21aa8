"""A classifier fitted to a few labeled examples, its probabilities calibrated out of fold."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from medistill.data.ids import would_match
from medistill.data.sources.parts.paths import named_file
from medistill.data.studies import studies_of
from medistill.errors import CallError, MedistillError
from medistill.evaluate.probes.linear_probe import LinearProbe
from medistill.evaluate.statistics.calibrate import best_f1_threshold
from medistill.model.embedder import UnitEmbedder
from medistill.serve.embedding import Batch, embedded
from medistill.serve.label.classifier import LEAST, Basis, Classifier
from medistill.serve.label.images import CorpusImages, FolderImages
from medistill.serve.label.shots import IMAGE, Shots
from medistill.serve.reading import Seen
from medistill.system.progress import Progress, counted

FOLDS = 5
Read = Callable[[Sequence[Path]], Generator[Seen]]
"""Reads image files."""
Fit = tuple[Float[np.ndarray, " d"], float, float, float, float, Basis]
"""Weight, offset, slope, bias, threshold, and what they rest on."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Labeled images, readable ones alone."""

    embeddings: Float32[np.ndarray, "n d"]
    labels: Float[np.ndarray, "n f"]
    patients: tuple[str, ...]
    """Each image a patient of its own where nobody tells them apart."""
    unreadable: int


@dataclass(frozen=True, kw_only=True)
class FromShots:
    """Logistic regression on frozen embeddings, a finding at a time."""

    shots: Shots
    images: CorpusImages | FolderImages
    """Where the table's names point to."""
    read: Read

    def described(self) -> dict[str, Any]:
        """What the classifier depends on beside the model."""
        findings = list(self.shots.findings)
        return {"kind": "shots", "sha256_of_table": self.shots.sha256, "findings": findings}

    def make(
        self, model: UnitEmbedder, about: dict[str, Any], on_progress: Progress | None = None
    ) -> Classifier:
        """The classifier for this model, of which `about` is kept; CallError for a finding of one class."""
        examples = self._examples(model, on_progress)
        fits = [
            fitted(examples, examples.labels[:, f], finding) for f, finding in enumerate(self.shots.findings)
        ]
        weight, offset, slope, bias, threshold, basis = zip(*fits, strict=True)
        made_with = self.described() | {
            "examples": len(examples.labels),
            "unreadable_examples": examples.unreadable,
            "patients": "told apart" if self._tells_patients() else "unknown: each image one of its own",
        }
        return Classifier(
            findings=self.shots.findings,
            weight=np.stack(weight),
            offset=np.array(offset),
            slope=np.array(slope),
            bias=np.array(bias),
            threshold=np.array(threshold),
            basis=basis,
            made_with=made_with,
            model=about,
        )

    def _tells_patients(self) -> bool:
        is_in_corpus = isinstance(self.images, CorpusImages) and self.shots.column != IMAGE
        return is_in_corpus or self.shots.patients is not None

    def _examples(self, model: UnitEmbedder, on_progress: Progress | None) -> Examples:
        if self.shots.column == IMAGE:
            places, patients = np.arange(len(self.shots.names)), self.shots.patients or self.shots.names
            seen = self.read(_named_files(self.shots, self.images))
        else:
            if not isinstance(self.images, CorpusImages):
                raise CallError(
                    f"{self.shots.path.name} names studies, which a folder has none of: use `image`"
                )
            rows, places = _study_rows(self.shots, self.images)
            patients = tuple(self.images.rows.select(rows).patient_ids)
            seen = (self.images.one(int(row)) for row in rows)
        on_done = counted(on_progress, "examples", len(places))
        batches: list[Batch] = []
        for batch in embedded(model, seen):
            batches.append(batch)
            on_done(len(batch.reasons))
        readable = np.concatenate([batch.readable for batch in batches] or [np.zeros(0, np.bool_)])
        parts = [batch.embeddings for batch in batches if batch.embeddings is not None]
        if not parts:
            raise MedistillError(
                f"none of the {len(readable)} examples in {self.shots.path.name} can be read"
            )
        return Examples(
            embeddings=np.concatenate(parts),
            labels=self.shots.labels[places[readable]],
            patients=tuple(patients[i] for i in np.flatnonzero(readable)),
            unreadable=int((~readable).sum()),
        )


def _named_files(shots: Shots, images: CorpusImages | FolderImages) -> list[Path]:
    """The files the rows name, below the folder of images or beside the table."""
    roots = [images.root] if isinstance(images, FolderImages) else []
    paths: list[Path] = []
    for place, name in enumerate(shots.names):
        try:
            named = [named_file(root, name) for root in [*roots, shots.path.parent]]
        except MedistillError as error:
            raise shots.fault(place, str(error)) from None
        files = [path for path in named if path.is_file()]
        if not files:
            raise shots.fault(place, "no such image below the folder or beside the table")
        paths.append(files[0])
    return paths


def _study_rows(shots: Shots, images: CorpusImages) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The rows whose images stand for the studies named, and the line of the table each belongs to."""
    place_of = {name: place for place, name in enumerate(shots.names)}
    rows = np.flatnonzero([study in place_of for study in images.rows.study_ids])
    studies = studies_of(images.rows.select(rows))
    known = set(studies.study_ids)
    for place, name in enumerate(shots.names):
        if name not in known:
            near = would_match(shots.names, images.rows.study_ids)
            raise shots.fault(place, f"no such study in the corpus{near}")
    return rows[studies.rows], np.array([place_of[name] for name in studies.study_ids], dtype=np.int64)


def fitted(examples: Examples, column: Float[np.ndarray, " n"], finding: str) -> Fit:
    """One finding, from the examples that state it; CallError if they are all of one class."""
    stated = np.isfinite(column)
    rows, present = examples.embeddings[stated].astype(np.float64), column[stated] == 1
    positive, negative = int(present.sum()), int((~present).sum())
    if not positive or not negative:
        raise CallError(
            f"'{finding}' has {positive} positive and {negative} negative examples; it needs one of each"
        )
    weight, offset = affine(LinearProbe().fit(rows, present.astype(int)), rows.shape[1])
    patients = [examples.patients[place] for place in np.flatnonzero(stated)]
    fold, fewest = folds(present, patients)
    if fewest < LEAST:
        why = f"not fitted: the rarer class has {fewest} patients, needs {LEAST} of each; the probe's own"
        return weight, offset, 1.0, 0.0, 0.5, Basis(calibration=why, positive=positive, negative=negative)
    scores = out_of_fold(rows, present, fold)
    slope, bias = platt(scores, present)
    threshold = best_f1_threshold(expit(slope * scores + bias), present.astype(np.float64))
    return weight, offset, slope, bias, threshold, _calibrated(slope, positive, negative)


def affine(probe: Any, width: int) -> tuple[Float[np.ndarray, " d"], float]:
    """Weight and offset of a fitted estimator whose decision function is affine in `width` numbers."""
    offset = probe.decision_function(np.zeros((1, width)))[0]
    return probe.decision_function(np.eye(width)) - offset, float(offset)


def folds(present: Bool[np.ndarray, " n"], patients: Sequence[str]) -> tuple[Int[np.ndarray, " n"], int]:
    """A fold for each example, whole patients, positive ones dealt out first; how many the rarer side has.

    A positive patient has a positive example; a negative one has none.
    """
    positive = sorted({patient for patient, shows in zip(patients, present, strict=True) if shows})
    negative = sorted(set(patients) - set(positive))
    fold_of = {patient: i % FOLDS for side in (positive, negative) for i, patient in enumerate(side)}
    return np.array([fold_of[patient] for patient in patients]), min(len(positive), len(negative))


def out_of_fold(
    rows: Float[np.ndarray, "n d"], present: Bool[np.ndarray, " n"], fold: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The score of each example by a probe that has not seen its patient."""
    probe, split = LinearProbe(), PredefinedSplit(fold)
    return np.asarray(
        cross_val_predict(probe, rows, present.astype(int), cv=split, method="decision_function")
    )


def platt(scores: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"]) -> tuple[float, float]:
    """Slope and bias of probability = sigmoid(slope * score + bias), slope never below 0.

    The targets are Platt's (1999), not 0 and 1, so that scores that separate the examples do not claim
    certainty.
    """
    positive, negative = present.sum(), (~present).sum()
    target = np.where(present, (positive + 1) / (positive + 2), 1 / (negative + 2))
    spread = float(scores.std()) or 1.0
    z = scores / spread

    def loss(theta: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        logit = theta[0] * z + theta[1]
        error = (expit(logit) - target) / len(z)
        return float((np.logaddexp(0, logit) - target * logit).mean()), np.array([error @ z, error.sum()])

    start = np.array([0.0, np.log((positive + 1) / (negative + 1))])
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)]).x
    return float(theta[0] / spread), float(theta[1])


def _calibrated(slope: float, positive: int, negative: int) -> Basis:
    blind = "" if slope > 0 else "; the examples were told apart no better than by chance"
    return Basis(
        calibrated=True,
        calibration=f"Platt scaling of scores out of {FOLDS} folds of patients; true where the finding is as "
        f"frequent as among the examples{blind}",
        threshold_origin="the best F1 out of fold",
        positive=positive,
        negative=negative,
    )
