"""All tasks of one model on one split of a corpus."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from medistill.data.corpus import corpus_hash, cut_by_patient
from medistill.data.folds import fold_account
from medistill.data.studies import UNIT, studies_of
from medistill.errors import CallError
from medistill.evaluate.prompts.own import own_prompts
from medistill.evaluate.prompts.prompts import Prompts, Sides, embed_prompts
from medistill.evaluate.prompts.resolved import origin_of, resolve_prompts
from medistill.evaluate.statistics.auroc import roc_curve
from medistill.evaluate.statistics.calibrate import Calibration, fit_calibration, uncalibrated
from medistill.evaluate.statistics.interval import Figure, Metrics
from medistill.evaluate.tasks.decisions import Decisions, decisions
from medistill.evaluate.tasks.examples import Example, examples_of
from medistill.evaluate.tasks.fewshot import few_shot
from medistill.evaluate.tasks.grounding import RULES, Pointed, ground
from medistill.evaluate.tasks.retrieval import retrieval_of
from medistill.evaluate.tasks.sample import Sample
from medistill.evaluate.tasks.slices import groups_of, slice_metrics
from medistill.evaluate.tasks.zeroshot import Scored, among_abnormal, prompt_scores, zero_shot_metrics
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import Embedder, Reported, embed_images, reported_of
from medistill.model.fingerprint import model_hash
from medistill.model.remembering import Remembering
from medistill.system.progress import Progress, counted

Curve = tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]
_NO_FINDINGS = {
    "calibration": "the corpus has no findings",
    "slope": 1.0,
    "findings": {},
    "reliability": {},
    "calls": {},
}
"""What evaluation.json says of labels where there are none."""


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
    own: Prompts | None = None,
    seed: int = 0,
    draws: int = 10,
    fine_tune: bool = False,
    resamples: int = 1000,
    judged: Collection[str] | None = None,
    embeddings: Path | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Zero-shot, few-shot and retrieval figures of `model` on one split of a `data.corpus.Corpus`.

    model        encodes images and texts; its own preprocessing is used, and rows of any norm are made unit
    prompts      of some findings, in place of any others
    own          what to ask a model that was left without prompts by its training; default: the model's own
    draws        few-shot classifiers of each finding and k
    fine_tune    also fine-tune the image tower on each share of the training patients: that takes long
    judged       findings that means over findings are of; default: all that have both classes
    embeddings   folder to keep embeddings in, so that nothing is embedded twice

    The same model, corpus and seed give the same figures, whatever the order of the rows.
    """
    model = Remembering(model, embeddings) if embeddings else UnitEmbedder(model)
    source = str(corpus.card.get("source", ""))
    wording, about_prompts = _asked(corpus, source, prompts, own or own_prompts(model))
    rows = corpus.split(split)
    if not len(rows):
        raise CallError(
            f"split '{split}' holds no image to evaluate; choose one of {', '.join(corpus.splits)}"
        )
    studies = studies_of(rows)
    images = embed_images(model, rows, studies.rows, counted(on_progress, f"{split} images", len(studies)))
    sample = Sample(split=split, rows=rows, studies=studies, images=images, resamples=resamples, seed=seed)
    reported = reported_of(model, studies, images)
    metrics = {"retrieval": sample.over_patients(partial(retrieval_of, reported))}
    labeled = Labeled()
    if wording:
        sides = embed_prompts(model, wording)
        options: dict[str, Any] = {"draws": draws, "fine_tune": fine_tune, "on_progress": on_progress}
        labeled = label_tasks(model, corpus, sample, sides, judged=judged, **options)
    account = {
        **_sample_account(model, corpus, sample, reported),
        **about_prompts,
        "few_shot_draws": draws,
        "fine_tune": fine_tune,
        **labeled.account,
    }
    return Evaluation(
        metrics=metrics | labeled.metrics,
        protocol=account,
        curves=labeled.curves,
        examples=examples_of(rows, reported, seed=seed),
        pointed=labeled.pointed,
        drawn_cases=source == "phantom",
    )


def _asked(
    corpus: Any, source: str, given: Prompts | None, own: Prompts | None
) -> tuple[dict[str, dict[str, list[str]]], dict[str, Any]]:
    """The prompts of every finding, and what evaluation.json says of them."""
    findings = tuple(corpus.findings)
    wording = resolve_prompts(findings, given, source=source, own=own)
    origin = origin_of(findings, given, source=source, own=own)
    return wording, {"prompts": wording, "prompts_given": given is not None, "prompts_origin": origin}


def _sample_account(model: UnitEmbedder, corpus: Any, sample: Sample, reported: Reported) -> dict[str, Any]:
    """Which model met which studies, and as what it saw them."""
    return {
        "split": sample.split,
        **fold_account(corpus),
        "unit": UNIT,
        "n_images": len(sample.studies),
        "n_patients": len(set(sample.studies.patient_ids)),
        "n_distinct_reports": len(reported.gallery.texts),
        "source": str(corpus.card.get("source", "")),
        "model_sha256": model_hash(model.model),
        "corpus_sha256": corpus_hash(corpus),
        "preprocessing": model.preprocessing,
        "seed": sample.seed,
        "resamples": sample.resamples,
    }


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """What the labels of the studies were good for."""

    metrics: dict[str, Metrics] = field(default_factory=dict[str, Metrics])
    account: dict[str, Any] = field(default_factory=_NO_FINDINGS.copy)
    curves: dict[str, Curve] = field(default_factory=dict[str, Curve])
    pointed: tuple[Pointed, ...] = ()


def label_tasks(
    model: UnitEmbedder,
    corpus: Any,
    sample: Sample,
    sides: Sides,
    *,
    judged: Collection[str] | None,
    draws: int,
    fine_tune: bool,
    on_progress: Progress | None,
) -> Labeled:
    """Zero-shot figures, whole and by groups, few-shot figures and grounding."""
    studies = sample.studies
    counts = np.array([judged is None or finding in judged for finding in corpus.findings], bool)
    cases = Scored(
        scores=prompt_scores(sample.images, *sides),
        labels=studies.labels,
        findings=tuple(corpus.findings),
        patient_ids=studies.patient_ids,
        calibration=_calibration(model, corpus, sample.split, sides, on_progress),
        judged=counts,
    )
    # To the classifiers what is not judged has no labels: none is fitted for it.
    taught = replace(sample, studies=studies.with_labels(np.where(counts, studies.labels, np.float32("nan"))))
    metrics = {
        "zero_shot": sample.over_patients(partial(zero_shot_metrics, cases))
        | sample.over_patients(partial(among_abnormal, cases)),
        **slice_metrics(groups_of(sample.rows, studies), cases, sample.over_patients),
        "few_shot": few_shot(
            model, corpus, taught, sides, draws=draws, fine_tune=fine_tune, on_progress=on_progress
        ),
    }
    grounding = ground(model.model, sample, cases.findings, sides[0] - sides[1], on_progress)
    own = uncalibrated(model.scale, len(cases.findings))
    account = _label_account(cases, decisions(cases, own, sample.over_patients))
    return Labeled(
        metrics=metrics | ({"grounding": grounding.metrics} if grounding else {}),
        account=account | ({"grounding": RULES} if grounding else {}),
        curves=_curves(cases),
        pointed=grounding.cases if grounding else (),
    )


def _calibration(
    model: UnitEmbedder, corpus: Any, split: str, sides: Sides, on_progress: Progress | None
) -> Calibration:
    """Fitted on the validation studies, unless they are what is evaluated."""
    rows = _validation_rows(corpus, split)
    studies = studies_of(rows) if rows is not None and len(rows) else None
    if studies is None or not np.isin(studies.labels, (0, 1)).any():
        return uncalibrated(model.scale, len(corpus.findings))
    on_done = counted(on_progress, "validation images", len(studies))
    images = embed_images(model, rows, studies.rows, on_done)
    return fit_calibration(prompt_scores(images, *sides), studies.labels)


def _validation_rows(corpus: Any, split: str) -> Any:
    if "val" in corpus.splits:
        return None if split == "val" else corpus.split("val")
    if "train" not in corpus.splits or split == "train":
        return None
    return cut_by_patient(corpus.split("train"))[1]


def _label_account(cases: Scored, decided: Decisions) -> dict[str, Any]:
    """What the figures of labels rest on."""
    calibration = cases.calibration
    return {
        "calibration": calibration.origin,
        "slope": calibration.slope,
        "findings": {
            finding: {
                "positive": int((cases.labels[:, f] == 1).sum()),
                "negative": int((cases.labels[:, f] == 0).sum()),
                "bias": float(calibration.bias[f]),
                "threshold": float(calibration.threshold[f]),
            }
            for f, finding in enumerate(cases.findings)
        },
        "reliability": decided.reliability,
        "calls": decided.calls,
    }


def _curves(cases: Scored) -> dict[str, Curve]:
    """ROC of each finding that has both classes."""
    curves: dict[str, Curve] = {}
    for f, finding in enumerate(cases.findings):
        known = np.isin(cases.labels[:, f], (0, 1))
        present = cases.labels[known, f] == 1
        if 0 < present.sum() < len(present):
            curves[finding] = roc_curve(cases.scores[known, f], present)
    return curves
