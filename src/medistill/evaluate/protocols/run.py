"""A named protocol on a model and a corpus."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from medistill.data.studies import Gallery, Studies
from medistill.evaluate.prompts.prompts import Prompts
from medistill.evaluate.protocols.cases import (
    Cases,
    cases_to_score,
    findings_to_score,
    validation_cases,
)
from medistill.evaluate.protocols.prompts import Asked, EmbeddedPrompts, asked_by, draw_prompts
from medistill.evaluate.protocols.protocol import Protocol
from medistill.evaluate.statistics.calibrate import Calibration, fit_calibration, uncalibrated
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.statistics.resample import resampled
from medistill.evaluate.tasks.decisions import decided
from medistill.evaluate.tasks.multiclass import class_metrics, confusion, standardized
from medistill.evaluate.tasks.retrieval import retrieval_metrics
from medistill.evaluate.tasks.zeroshot import DECISIONS, zero_shot_metrics
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import embed_texts
from medistill.system.progress import Progress

_IMAGE_TO_TEXT = ("i2t_r@1", "i2t_r@5", "i2t_r@10", "i2t_mean_rank", "i2t_median_rank", "chance_r@10")

_Given = tuple[Float32[np.ndarray, "n f"], Float32[np.ndarray, "n f"], list[str], Sequence[str]]
"""Scores, labels, findings, patients."""


@dataclass(frozen=True)
class Outcome:
    """The figures of one protocol, and how they came about."""

    metrics: Metrics
    account: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Cases through the model, and how they are resampled."""

    studies: Studies
    images: Float32[np.ndarray, "n d"]
    resamples: int
    seed: int

    def over_patients(self, task: Callable[[Float32[np.ndarray, "n s"]], Metrics]) -> Metrics:
        patients = self.studies.patient_ids
        return resampled(task, patients, resamples=self.resamples, seed=self.seed)


def run_protocol(
    protocol: Protocol,
    model: UnitEmbedder,
    corpus: Any,
    *,
    prompts: Prompts | None = None,
    seed: int = 0,
    resamples: int = 1000,
    on_progress: Progress | None = None,
) -> Outcome:
    """Score `model` by `protocol` on a corpus of the kind it is for.

    prompts   by finding, in place of the protocol's own
    CallError if the corpus is of another kind, or lacks the split or a finding.
    """
    findings = findings_to_score(protocol, corpus)
    asked = None if protocol.task == "retrieval" else asked_by(protocol, findings, prompts)
    cases = cases_to_score(protocol, corpus, findings)
    sample = _Sample(
        studies=cases.studies,
        images=cases.embedded(model, protocol, on_progress),
        resamples=resamples,
        seed=seed,
    )
    account = _account(protocol, cases) | {"seed": seed, "resamples": resamples}
    if asked is None:
        return Outcome(_retrieval(model, sample), account)
    account |= {"prompts": asked.prompts, "prompts_origin": asked.origin}
    embedded = EmbeddedPrompts(model, asked)
    if protocol.task == "classes":
        metrics, more = _classes(protocol, asked, embedded, sample)
        return Outcome(metrics, account | more)
    validation = validation_cases(protocol, corpus, findings, cases)
    calibration = before = uncalibrated(model.scale, len(findings)) if asked.has_negative else None
    if validation:
        images = validation.embedded(model, protocol, on_progress)
        calibration = fit_calibration(embedded.scores(images, protocol.pooling), validation.studies.labels)
    metrics, more = _findings(protocol, asked, embedded, sample, calibration, before)
    return Outcome(metrics, account | more)


def _retrieval(model: UnitEmbedder, sample: _Sample) -> Metrics:
    """Image to text among the texts that differ by any letter, as CXR-CLIP takes them."""
    studies = sample.studies
    texts = tuple(dict.fromkeys(studies.texts))
    place = {text: number for number, text in enumerate(texts)}
    gallery = Gallery(texts=texts, text_of=np.array([place[text] for text in studies.texts], np.int64))
    asked = (sample.images, embed_texts(model, texts), gallery, studies.labels, studies.patient_ids)
    found = sample.over_patients(lambda weights: retrieval_metrics(*asked, weights))
    return {name: entry for name, entry in found.items() if name in _IMAGE_TO_TEXT}


def _classes(
    protocol: Protocol, asked: Asked, embedded: EmbeddedPrompts, sample: _Sample
) -> tuple[Metrics, dict[str, Any]]:
    truth = (sample.studies.labels == 1).argmax(axis=1)  # argmax of NaN is its place
    drawn = [draw_prompts(protocol, asked, seed=sample.seed, run=run) for run in range(protocol.runs)]
    runs = [embedded.scores(sample.images, protocol.pooling, draw) for draw in drawn]
    if protocol.standardized:
        runs = [standardized(scores) for scores in runs]
    scored = (runs, truth, asked.findings, sample.studies.patient_ids)
    metrics = sample.over_patients(lambda weights: class_metrics(*scored, weights, seed=sample.seed))
    counts = np.bincount(truth, minlength=len(asked.findings)).tolist()
    more = {
        "classes": dict(zip(asked.findings, counts, strict=True)),
        "confusion": confusion(runs, truth),
        "drawn": drawn if protocol.sampled else None,
    }
    return metrics, more


def _findings(
    protocol: Protocol,
    asked: Asked,
    embedded: EmbeddedPrompts,
    sample: _Sample,
    calibration: Calibration | None,
    before: Calibration | None,
) -> tuple[Metrics, dict[str, Any]]:
    """Figures of the findings that count, and the AUROC of those beside them.

    calibration   None where nothing says where present begins: one side of prompts, no validation cases
    before        what there is without validation cases
    """
    scores = embedded.scores(sample.images, protocol.pooling)
    known = calibration or uncalibrated(None, len(asked.findings))
    positives = (sample.studies.labels == 1).sum(axis=0)
    beside = np.array([finding in protocol.apart for finding in asked.findings])
    beside |= positives < protocol.min_positives

    def of(chosen: np.ndarray) -> _Given:
        labels, patients = sample.studies.labels[:, chosen], sample.studies.patient_ids
        return scores[:, chosen], labels, _named(asked, chosen), patients

    def scored(chosen: np.ndarray) -> Metrics:
        given, fitted = of(chosen), known.of(chosen)
        return sample.over_patients(lambda weights: zero_shot_metrics(*given, weights, calibration=fitted))

    metrics = scored(~beside)
    metrics |= {name: entry for name, entry in scored(beside).items() if name.startswith("auroc/")}
    account: dict[str, Any] = {"apart": _named(asked, beside)}
    if calibration is None:
        metrics = {name: entry for name, entry in metrics.items() if name not in DECISIONS}
        return metrics, account | {"calibration": "none: only rankings are scored"}
    start = before.of(~beside) if before else None
    made = decided(
        *of(~beside), calibration=calibration.of(~beside), before=start, over_patients=sample.over_patients
    )
    told = {"reliability": made.reliability, "calls": made.calls}
    return metrics, account | {"calibration": calibration.origin} | told


def _named(asked: Asked, chosen: np.ndarray) -> list[str]:
    return [finding for finding, taken in zip(asked.findings, chosen, strict=True) if taken]


def _account(protocol: Protocol, cases: Cases) -> dict[str, Any]:
    """What the figures rest on, and what they may be compared with."""
    told = asdict(protocol)
    for name in ("prompts", "positive", "negative", "findings"):
        del told[name]  # the prompts that were used stand beside
    patients = set(cases.studies.patient_ids)
    return told | {"split": cases.split, "n_images": len(cases.studies), "n_patients": len(patients)}
