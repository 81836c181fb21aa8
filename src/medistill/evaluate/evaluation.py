"""All tasks of one model on one split of a corpus."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from medistill.errors import CallError
from medistill.evaluate.embed import (
    UNIT,
    Embedder,
    Gallery,
    Progress,
    Studies,
    embed_images,
    embed_prompts,
    reported_of,
    studies_of,
    told_in,
)
from medistill.evaluate.embedder import UnitEmbedder
from medistill.evaluate.examples import Example, examples_of
from medistill.evaluate.fingerprint import corpus_hash, model_hash
from medistill.evaluate.grounding import RULES, Pointed
from medistill.evaluate.interval import Figure, Metrics
from medistill.evaluate.labeled import Curve, Labeled, LabelTasks
from medistill.evaluate.prompts import Prompts, resolve_prompts
from medistill.evaluate.remembering import Remembering
from medistill.evaluate.resample import resampled
from medistill.evaluate.retrieval import retrieval_of


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
    images = embed_images(model, rows, studies.rows, told_in(on_progress, f"{split} images", len(studies)))
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
