"""All tasks of one model on one split of a corpus."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from medistill.data.corpus import corpus_hash
from medistill.data.studies import UNIT, Gallery, Studies, studies_of
from medistill.errors import CallError
from medistill.evaluate.prompts.embedded import embed_prompts
from medistill.evaluate.prompts.prompts import Prompts, resolve_prompts
from medistill.evaluate.statistics.auroc import roc_curve
from medistill.evaluate.statistics.calibrate import Calibration, fit_calibration, uncalibrated
from medistill.evaluate.statistics.interval import Figure, Metrics
from medistill.evaluate.statistics.resample import resampled
from medistill.evaluate.tasks.decisions import NOTHING_DECIDED, Decided, decided
from medistill.evaluate.tasks.examples import Example, examples_of
from medistill.evaluate.tasks.fewshot import Shown, few_shot
from medistill.evaluate.tasks.fewshot_figures import few_shot_metrics
from medistill.evaluate.tasks.grounding import RULES, Pointed, ground
from medistill.evaluate.tasks.retrieval import retrieval_of
from medistill.evaluate.tasks.slices import groups_of, slice_metrics
from medistill.evaluate.tasks.zeroshot import prompt_scores, zero_shot_metrics
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import Embedder, embed_images, reported_of
from medistill.model.fingerprint import model_hash
from medistill.model.remembering import Remembering
from medistill.system.progress import Progress, counted

Curve = tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]
Sides = tuple[Float32[np.ndarray, "f d"], Float32[np.ndarray, "f d"]]
"""Embeddings of each finding's positive and negative prompts."""
_NO_LABELS = Calibration(
    slope=1.0, bias=np.zeros(0), threshold=np.zeros(0), origin="the corpus has no findings"
)


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """What the labels of the studies were good for."""

    metrics: dict[str, Metrics] = field(default_factory=dict[str, Metrics])
    calibration: Calibration = _NO_LABELS
    curves: dict[str, Curve] = field(default_factory=dict[str, Curve])
    decided: Decided = NOTHING_DECIDED
    pointed: tuple[Pointed, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured, how, and what the page draws from it."""

    metrics: dict[str, Metrics]
    protocol: dict[str, Any]
    """How the figures came about; becomes evaluation.json."""
    curves: dict[str, Curve]
    """Zero-shot ROC by finding: false and true positive rates."""
    examples: tuple[Example, ...]
    pointed: tuple[Pointed, ...]
    """Images with a marked finding and the map of its phrase."""
    drawn_cases: bool
    """Whether images and reports are phantoms, which belong to nobody."""

    @property
    def spread(self) -> dict[str, Float[np.ndarray, " r"]]:
        """The resampled values of every defined figure, by task/metric; the same patients at each place."""
        return {
            f"{task}/{name}": entry.spread
            for task, entries in self.metrics.items()
            for name, entry in entries.items()
            if isinstance(entry, Figure)
        }


def evaluate_model(
    model: Embedder,
    corpus: Any,
    *,
    split: str = "test",
    prompts: Prompts | None = None,
    seed: int = 0,
    draws: int = 10,
    fine_tune: bool = False,
    resamples: int = 1000,
    embeddings: Path | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Zero-shot, few-shot and retrieval figures of `model` on one split of a `data.corpus.Corpus`.

    model        encodes images and texts; its own preprocessing is used, and rows of any norm are made unit
    draws        few-shot classifiers of each finding and k
    fine_tune    also fine-tune the image tower on each share of the training patients: that takes long
    embeddings   folder to keep embeddings in, so that nothing is embedded twice

    The same model, corpus and seed give the same figures, whatever the order of the rows.
    """
    model = Remembering(model, embeddings) if embeddings else UnitEmbedder(model)
    findings = tuple(corpus.findings)
    asked = resolve_prompts(findings, prompts, source=_source(corpus))
    rows = corpus.split(split)
    if not len(rows):
        raise CallError(
            f"split '{split}' holds no image to evaluate; choose one of {', '.join(corpus.splits)}"
        )
    studies = studies_of(rows)
    images = embed_images(model, rows, studies.rows, counted(on_progress, f"{split} images", len(studies)))
    reported = reported_of(model, studies, images)
    over_patients = partial(resampled, patient_ids=studies.patient_ids, resamples=resamples, seed=seed)
    metrics = {"retrieval": over_patients(lambda weights: retrieval_of(reported, weights))}
    found = Labeled()
    if findings:
        sides = embed_prompts(model, asked)
        task = LabelTasks(model, corpus, split, on_progress)
        options = (over_patients, draws, fine_tune, seed)
        found = task.run(rows, studies, images, sides, *options)
    protocol = {
        **_stated(studies, reported.gallery, found, findings),
        **_origin(model, corpus, split),
        "prompts": asked,
        "prompts_given": prompts is not None,
        "seed": seed,
        "resamples": resamples,
        "few_shot_draws": draws,
        "fine_tune": fine_tune,
    }
    return Evaluation(
        metrics=metrics | found.metrics,
        protocol=protocol,
        curves=found.curves,
        examples=examples_of(rows, reported, seed=seed),
        pointed=found.pointed,
        drawn_cases=_source(corpus) == "phantom",
    )


def _source(corpus: Any) -> str:
    return str(corpus.card.get("source", ""))


def _origin(model: UnitEmbedder, corpus: Any, split: str) -> dict[str, Any]:
    """Which model met which rows, and as what it saw them."""
    hashes = {"model_sha256": model_hash(model.model), "corpus_sha256": corpus_hash(corpus)}
    return {"split": split, "source": _source(corpus), "preprocessing": model.preprocessing, **hashes}


def _stated(studies: Studies, gallery: Gallery, found: Labeled, findings: tuple[str, ...]) -> dict[str, Any]:
    """What the figures rest on."""
    calibration = found.calibration
    return {
        "unit": UNIT,
        "n_images": len(studies),
        "n_patients": len(set(studies.patient_ids)),
        "n_distinct_reports": len(gallery.texts),
        "calibration": calibration.origin,
        "slope": calibration.slope,
        "findings": {
            finding: {
                "positive": int((studies.labels[:, f] == 1).sum()),
                "negative": int((studies.labels[:, f] == 0).sum()),
                "bias": float(calibration.bias[f]),
                "threshold": float(calibration.threshold[f]),
            }
            for f, finding in enumerate(findings)
        },
        "reliability": found.decided.reliability,
        "calls": found.decided.calls,
        **({"grounding": RULES} if "grounding" in found.metrics else {}),
    }


@dataclass(frozen=True)
class LabelTasks:
    """What the tasks take from the other splits of the corpus."""

    model: UnitEmbedder
    corpus: Any
    split: str
    on_progress: Progress | None

    def run(
        self,
        rows: Any,
        studies: Studies,
        images: Float32[np.ndarray, "n d"],
        sides: Sides,
        over_patients: Callable[[Callable[[Float32[np.ndarray, "n s"]], Metrics]], Metrics],
        draws: int,
        fine_tune: bool,
        seed: int,
    ) -> Labeled:
        """Zero-shot figures, whole and by groups, few-shot figures and grounding."""
        findings = tuple(self.corpus.findings)
        fitted, scores = self.calibration(*sides), prompt_scores(images, *sides)
        scored = (scores, studies.labels, findings, studies.patient_ids)
        metrics = {
            "zero_shot": over_patients(
                lambda weights: zero_shot_metrics(*scored, weights, calibration=fitted)
            ),
            **slice_metrics(groups_of(rows, studies), *scored, fitted, over_patients),
        }
        told = partial(counted, self.on_progress)
        case = Shown(rows, studies, images)
        shown = few_shot(
            self.model,
            self.corpus,
            self.split,
            case,
            sides,
            draws=draws,
            fine_tune=fine_tune,
            seed=seed,
            told=told,
        )
        metrics["few_shot"] = over_patients(
            lambda weights: few_shot_metrics(shown, studies.labels, studies.patient_ids, weights, seed=seed)
        )
        on_done = told(f"{self.split} images with marks", len(studies))
        phrases = sides[0] - sides[1]
        grounding = ground(
            self.model.model, rows, studies, findings, phrases, over_patients, seed=seed, on_done=on_done
        )
        if grounding:
            metrics["grounding"] = grounding.metrics
        pointed = grounding.cases if grounding else ()
        curves = _curves(scores, studies.labels, findings)
        before = uncalibrated(self.model.scale, len(findings))
        made = decided(*scored, calibration=fitted, before=before, over_patients=over_patients)
        return Labeled(metrics=metrics, calibration=fitted, curves=curves, decided=made, pointed=pointed)

    def calibration(
        self, positive: Float32[np.ndarray, "f d"], negative: Float32[np.ndarray, "f d"]
    ) -> Calibration:
        """Fitted on the validation studies, unless they are what is evaluated."""
        rows = self._validation_rows()
        studies = studies_of(rows) if rows is not None and len(rows) else None
        if studies is None or not np.isin(studies.labels, (0, 1)).any():
            return uncalibrated(self.model.scale, len(positive))
        told = counted(self.on_progress, "validation images", len(studies))
        images = embed_images(self.model, rows, studies.rows, told)
        return fit_calibration(prompt_scores(images, positive, negative), studies.labels)

    def _validation_rows(self) -> Any:
        if "val" in self.corpus.splits:
            return None if self.split == "val" else self.corpus.split("val")
        if "train" not in self.corpus.splits or self.split == "train":
            return None
        from medistill.data.corpus import cut_by_patient

        return cut_by_patient(self.corpus.split("train"))[1]


def _curves(
    scores: Float32[np.ndarray, "n f"], labels: Float32[np.ndarray, "n f"], findings: tuple[str, ...]
) -> dict[str, Curve]:
    """ROC of each finding that has both classes."""
    curves: dict[str, Curve] = {}
    for f, finding in enumerate(findings):
        cases = np.isin(labels[:, f], (0, 1))
        present = labels[cases, f] == 1
        if 0 < present.sum() < len(present):
            curves[finding] = roc_curve(scores[cases, f], present)
    return curves
