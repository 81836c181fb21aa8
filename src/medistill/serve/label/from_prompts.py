"""A classifier from prompts alone, its probabilities fitted to labeled studies where there are some."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from medistill.data.corpus import Corpus, Rows, corpus_hash, cut_by_patient, open_corpus
from medistill.data.studies import Studies, studies_of
from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import Prompts, embed_prompts
from medistill.evaluate.statistics.calibrate import fit_calibration
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import embed_images
from medistill.serve.label.classifier import LEAST, Basis, Classifier
from medistill.system.progress import Progress, counted

_PLAIN = Basis(calibration="not fitted: the model's own scale")


@dataclass(frozen=True, kw_only=True)
class FromPrompts:
    """Cosine to a finding's positive prompts less the cosine to its negative ones."""

    prompts: Prompts
    calibrate: Path | None = None
    """A corpus whose validation split is labeled."""

    def described(self) -> dict[str, Any]:
        """What the classifier depends on beside the model."""
        return {
            "kind": "prompts",
            "prompts": {
                finding: {side: list(texts) for side, texts in sides.items()}
                for finding, sides in self.prompts.items()
            },
            "calibrated_on": corpus_hash(open_corpus(self.calibrate)) if self.calibrate else None,
        }

    def make(
        self, model: UnitEmbedder, about: dict[str, Any], on_progress: Progress | None = None
    ) -> Classifier:
        """The classifier for this model, of which `about` is kept.

        CallError if no finding has enough patients to be calibrated.
        """
        positive, negative = embed_prompts(model, self.prompts)
        weight = (positive - negative).astype(np.float64)
        count = len(weight)
        plain = Classifier(
            findings=tuple(self.prompts),
            weight=weight,
            offset=np.zeros(count),
            slope=np.full(count, model.scale or 1.0),
            bias=np.zeros(count),
            threshold=np.full(count, 0.5),
            basis=(_PLAIN,) * count,
            made_with=self.described(),
            model=about,
        )
        if self.calibrate is None:
            return plain
        return fitted(plain, validation_of(model, open_corpus(self.calibrate), plain.findings, on_progress))


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Validation studies, embedded, with their labels of some findings."""

    images: Float32[np.ndarray, "n d"]
    labels: Float[np.ndarray, "n f"]
    """1 present, 0 absent, -1 uncertain, NaN not stated."""
    patients: tuple[tuple[int, int], ...]
    """Of each finding: patients with a study that shows it, and with one that does not."""

    @property
    def enough(self) -> Bool[np.ndarray, " f"]:
        """Findings with `LEAST` patients of each."""
        return np.array([min(count) >= LEAST for count in self.patients])


def validation_of(
    model: UnitEmbedder, corpus: Corpus, findings: tuple[str, ...], on_progress: Progress | None = None
) -> Validation:
    """Those of a corpus; CallError, before any image is embedded, if no finding has enough patients."""
    rows = validation_rows(corpus)
    studies = studies_of(rows)
    labels = _labels(studies, corpus, findings)
    patients = tuple(_patients(studies, column) for column in labels.T)
    if not any(min(count) >= LEAST for count in patients):
        raise CallError(
            f"no finding of the {len(patients)} asked for has {LEAST} positive and {LEAST} negative patients "
            "in the validation split to calibrate on; the corpus labels "
            f"{', '.join(corpus.findings) or 'none'}"
        )
    on_done = counted(on_progress, "validation images", len(studies))
    images = embed_images(model, rows, studies.rows, on_done)
    return Validation(images=images, labels=labels, patients=patients)


def fitted(plain: Classifier, validation: Validation) -> Classifier:
    """The classifier with probabilities and thresholds fitted to these studies.

    A finding that has fewer than `LEAST` positive or negative patients there stays as it is.
    """
    labels, fits = validation.labels, validation.enough
    fit = fit_calibration(plain.scores(validation.images)[:, fits], labels[:, fits])
    slope, bias, threshold = plain.slope.copy(), plain.bias.copy(), plain.threshold.copy()
    slope[fits], bias[fits], threshold[fits] = fit.slope, fit.bias, fit.threshold
    basis = tuple(_basis(labels[:, f], fits[f], validation.patients[f]) for f in range(len(fits)))
    return replace(plain, slope=slope, bias=bias, threshold=threshold, basis=basis)


def validation_rows(corpus: Corpus) -> Rows:
    """The split `val`, or the patients that training holds back where there is none."""
    if "val" in corpus.splits:
        return corpus.split("val")
    if "train" not in corpus.splits:
        raise CallError(
            f"--calibrate takes a corpus with a split val or train; it has {', '.join(corpus.splits)}"
        )
    return cut_by_patient(corpus.split("train"))[1]


def _labels(studies: Studies, corpus: Corpus, findings: tuple[str, ...]) -> Float[np.ndarray, "n f"]:
    """The labels of these findings; NaN for one the corpus does not know."""
    labels = np.full((len(studies), len(findings)), np.nan)
    for f, finding in enumerate(findings):
        if finding in corpus.findings:
            labels[:, f] = studies.labels[:, corpus.findings.index(finding)]
    return labels


def _patients(studies: Studies, column: Float[np.ndarray, " n"]) -> tuple[int, int]:
    """How many patients have a study that shows the finding, and how many one that does not."""

    def count(cases: Bool[np.ndarray, " n"]) -> int:
        return len({studies.patient_ids[case] for case in np.flatnonzero(cases)})

    return count(column == 1), count(column == 0)


def _basis(column: Float[np.ndarray, " n"], fits: np.bool_, patients: tuple[int, int]) -> Basis:
    positive, negative = int((column == 1).sum()), int((column == 0).sum())
    if fits:
        return Basis(
            calibrated=True,
            calibration="fitted on validation studies: one slope for all findings, a bias for each",
            threshold_origin="the best F1 on the same validation studies",
            positive=positive,
            negative=negative,
        )
    return Basis(
        calibration=f"not fitted: {patients[0]} positive and {patients[1]} negative patients in validation, "
        f"needs {LEAST} of each; the model's own scale",
        positive=positive,
        negative=negative,
    )
