"""The tasks that rest on the labels of the studies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from medistill.evaluate.auroc import roc_curve
from medistill.evaluate.calibrate import Calibration, fit_calibration, uncalibrated
from medistill.evaluate.decisions import NOTHING_DECIDED, Decided, decided
from medistill.evaluate.embed import Progress, Studies, embed_images, studies_of, told_in
from medistill.evaluate.embedder import UnitEmbedder
from medistill.evaluate.fewshot import few_shot_metrics
from medistill.evaluate.fewshot_task import Shown, few_shot
from medistill.evaluate.grounding import Pointed, ground
from medistill.evaluate.interval import Metrics
from medistill.evaluate.slices import groups_of, slice_metrics
from medistill.evaluate.zeroshot import prompt_scores, zero_shot_metrics

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
        told = partial(told_in, self.on_progress)
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
        told = told_in(self.on_progress, "validation images", len(studies))
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
