"""All tasks of one model on one split of a corpus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from medistill.errors import CallError
from medistill.evaluate.auroc import roc_curve
from medistill.evaluate.calibrate import Calibration, fit_calibration, uncalibrated
from medistill.evaluate.embed import (
    UNIT,
    Embedder,
    Gallery,
    Studies,
    embed_images,
    embed_prompts,
    embed_texts,
    gallery_of,
    studies_of,
)
from medistill.evaluate.fewshot import draw_shots, few_shot_metrics
from medistill.evaluate.fingerprint import corpus_hash, model_hash
from medistill.evaluate.interval import Metrics, patient_weights
from medistill.evaluate.prompts import Prompts, resolve_prompts
from medistill.evaluate.retrieval import first_ranks, retrieval_metrics, similarity
from medistill.evaluate.zeroshot import prompt_scores, zero_shot_metrics

EXAMPLES = 6
NEAREST = 3
Curve = tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]
Progress = Callable[[str, int, int], None]
"""Told what is being embedded, how many images are done and how many there are."""
_NO_LABELS = Calibration(
    slope=1.0, bias=np.zeros(0), threshold=np.zeros(0), origin="the corpus has no findings"
)


@dataclass(frozen=True)
class Example:
    """One image of the split with the reports that lie nearest to it."""

    image: UInt8[np.ndarray, "h w"]
    nearest: tuple[str, ...]
    own: str
    """The study's own report."""
    own_rank: int
    """Where it came, from 1."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured, how, and what the page draws from it."""

    metrics: dict[str, Metrics]
    protocol: dict[str, Any]
    """How the figures came about; becomes evaluation.json."""
    curves: dict[str, Curve]
    """Zero-shot ROC by finding: false and true positive rates."""
    examples: tuple[Example, ...]
    drawn_cases: bool
    """Whether images and reports are phantoms, which belong to nobody."""


def evaluate_model(
    model: Embedder,
    corpus: Any,
    *,
    split: str = "test",
    prompts: Prompts | None = None,
    seed: int = 0,
    draws: int = 10,
    resamples: int = 1000,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Zero-shot, few-shot and retrieval figures of `model` on one split of a `data.corpus.Corpus`.

    The same model, corpus and seed give the same figures, whatever the order of the rows.
    """
    findings = tuple(corpus.findings)
    asked = resolve_prompts(findings, prompts, source=_source(corpus))
    rows = corpus.split(split)
    if not len(rows):
        raise CallError(
            f"split '{split}' holds no image to evaluate; choose one of {', '.join(corpus.splits)}"
        )
    studies = studies_of(rows)
    gallery = gallery_of(studies.texts)
    images = embed_images(model, rows, studies.rows, _told(on_progress, f"{split} images", len(studies)))
    reports = embed_texts(model, gallery.texts)
    weights = patient_weights(studies.patient_ids, resamples, seed=seed)
    patients = studies.patient_ids
    task = _Task(model, corpus, split, on_progress)

    metrics = {"retrieval": retrieval_metrics(images, reports, gallery, studies.labels, patients, weights)}
    calibration, curves = _NO_LABELS, {}
    if findings:
        sides = embed_prompts(model, asked)
        calibration, scores = task.calibration(*sides), prompt_scores(images, *sides)
        curves = _curves(scores, studies.labels, findings)
        metrics["zero_shot"] = zero_shot_metrics(
            scores, studies.labels, findings, patients, weights, calibration=calibration
        )
        drawn, train = task.shots(images.shape[1], draws=draws, seed=seed)
        metrics["few_shot"] = few_shot_metrics(
            drawn, train, images, studies.labels, patients, weights, seed=seed
        )
    protocol = {
        **_stated(studies, gallery, calibration, findings),
        **_origin(model, corpus, split),
        "prompts": asked,
        "prompts_given": prompts is not None,
        "seed": seed,
        "resamples": resamples,
        "few_shot_draws": draws,
    }
    return Evaluation(
        metrics=metrics,
        protocol=protocol,
        curves=curves,
        examples=_examples(rows, studies, gallery, images, reports, seed=seed),
        drawn_cases=_source(corpus) == "phantom",
    )


@dataclass(frozen=True)
class _Task:
    """What the tasks take from the other splits of the corpus."""

    model: Embedder
    corpus: Any
    split: str
    on_progress: Progress | None

    def calibration(
        self, positive: Float32[np.ndarray, "f d"], negative: Float32[np.ndarray, "f d"]
    ) -> Calibration:
        """Fitted on the validation studies, unless they are what is evaluated."""
        rows = self._validation_rows()
        studies = studies_of(rows) if rows is not None and len(rows) else None
        if studies is None or not np.isin(studies.labels, (0, 1)).any():
            return uncalibrated(float(self.model.scale), len(positive))
        told = _told(self.on_progress, "validation images", len(studies))
        images = embed_images(self.model, rows, studies.rows, told)
        return fit_calibration(prompt_scores(images, positive, negative), studies.labels)

    def _validation_rows(self) -> Any:
        if "val" in self.corpus.splits:
            return None if self.split == "val" else self.corpus.split("val")
        if "train" not in self.corpus.splits or self.split == "train":
            return None
        from medistill.data.corpus import training_rows

        return training_rows(self.corpus)[1]

    def shots(self, width: int, *, draws: int, seed: int) -> tuple[list[Any], Float32[np.ndarray, "t d"]]:
        """The draws from the training studies, and the embeddings of those that some draw holds."""
        if self.split == "train" or "train" not in self.corpus.splits:
            return [], np.zeros((0, width), np.float32)
        rows = self.corpus.split("train")
        studies = studies_of(rows)
        drawn = draw_shots(studies.labels, studies.patient_ids, self.corpus.findings, draws=draws, seed=seed)
        if not drawn:
            return [], np.zeros((0, width), np.float32)
        needed = np.unique(np.concatenate([draw.studies for draw in drawn]))
        told = _told(self.on_progress, "training images", len(needed))
        embedded = embed_images(self.model, rows, studies.rows[needed], told)
        train = np.zeros((len(studies), width), np.float32)
        train[needed] = embedded
        return drawn, train


def _source(corpus: Any) -> str:
    return str(corpus.card.get("source", ""))


def _origin(model: Embedder, corpus: Any, split: str) -> dict[str, Any]:
    """Which model met which rows."""
    hashes = {"model_sha256": model_hash(model), "corpus_sha256": corpus_hash(corpus)}
    return {"split": split, "source": _source(corpus), **hashes}


def _told(on_progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    if on_progress is None:
        return None
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        on_progress(what, done, total)

    return tell


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


def _stated(
    studies: Studies, gallery: Gallery, calibration: Calibration, findings: tuple[str, ...]
) -> dict[str, Any]:
    """What the figures rest on."""
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
    }


def _examples(
    rows: Any,
    studies: Studies,
    gallery: Gallery,
    images: Float32[np.ndarray, "n d"],
    reports: Float32[np.ndarray, "g d"],
    *,
    seed: int,
) -> tuple[Example, ...]:
    """Studies drawn at random from those whose report is theirs alone, or from all if there are none."""
    sharing = np.bincount(gallery.text_of)[gallery.text_of]
    pool = np.flatnonzero(sharing == 1) if (sharing == 1).any() else np.arange(len(studies))
    chosen = np.random.default_rng([seed, EXAMPLES]).permutation(pool)[:EXAMPLES]
    similar = similarity(images[chosen], reports)
    ranks = first_ranks(similar, gallery.text_of[chosen][:, None] == np.arange(len(gallery.texts)))
    # The own report last among its ties, as its rank counts them.
    own = np.arange(len(gallery.texts)) == gallery.text_of[chosen][:, None]
    order = np.stack([np.lexsort((mine, -near)) for mine, near in zip(own, similar, strict=True)])
    return tuple(
        Example(
            rows.image(int(studies.rows[case])),
            tuple(gallery.texts[text] for text in nearest[:NEAREST]),
            gallery.texts[gallery.text_of[case]],
            int(rank),
        )
        for case, nearest, rank in zip(chosen, order, ranks, strict=True)
    )
