"""Named protocols of one model on one corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medistill.data.corpus import corpus_hash
from medistill.data.studies import Gallery
from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import Prompts
from medistill.evaluate.protocols.cases import cases_to_score, findings_to_score, validation_cases
from medistill.evaluate.protocols.named import protocol_named
from medistill.evaluate.protocols.prompts import EmbeddedPrompts, draw_prompts, wording_of
from medistill.evaluate.protocols.protocol import Protocol
from medistill.evaluate.statistics.calibrate import Calibration, fit_calibration, uncalibrated
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.tasks.decisions import decisions
from medistill.evaluate.tasks.examples import Shown, examples_by_split
from medistill.evaluate.tasks.multiclass import class_metrics, confusion, standardized
from medistill.evaluate.tasks.retrieval import retrieval_metrics
from medistill.evaluate.tasks.sample import Sample
from medistill.evaluate.tasks.zeroshot import DECISIONS, Scored, zero_shot_metrics
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import embed_texts
from medistill.model.fingerprint import model_hash
from medistill.model.remembering import Remembering
from medistill.system.progress import Progress

_IMAGE_TO_TEXT = ("i2t_r@1", "i2t_r@5", "i2t_r@10", "i2t_mean_rank", "i2t_median_rank", "chance_r@10")


def evaluate_protocols(
    model: Any,
    corpus: Any,
    names: Sequence[str],
    *,
    prompts: Prompts | None = None,
    seed: int = 0,
    resamples: int = 1000,
    embeddings: Path | None = None,
    on_progress: Progress | None = None,
) -> tuple[dict[str, Metrics], dict[str, Any]]:
    """Figures by `protocol:<name>`, and how they came about by the protocol's name.

    prompts      by finding, in place of the protocols' own
    embeddings   folder to keep embeddings in, so that nothing is embedded twice
    CallError for a protocol that does not exist or is not for this corpus.
    """
    protocols = [protocol_named(name) for name in dict.fromkeys(names)]
    if prompts and all(protocol.task == "retrieval" for protocol in protocols):
        raise CallError("prompts are given, and a protocol of retrieval asks for none: leave out --prompts")
    for protocol in protocols:
        findings_to_score(protocol, corpus)  # before the first is scored, which may take long
    model = Remembering(model, embeddings) if embeddings else UnitEmbedder(model)
    options: dict[str, Any] = {"seed": seed, "resamples": resamples, "on_progress": on_progress}
    metrics: dict[str, Metrics] = {}
    accounts: dict[str, dict[str, Any]] = {}
    for protocol in protocols:
        outcome = run_protocol(protocol, model, corpus, prompts=prompts, **options)
        metrics[f"protocol:{protocol.name}"], accounts[protocol.name] = outcome
    account = {
        "source": str(corpus.card.get("source", "")),
        "model_sha256": model_hash(model.model),
        "corpus_sha256": corpus_hash(corpus),
        "preprocessing": model.preprocessing,
        "prompts_given": prompts is not None,
        "protocols": accounts,
    }
    return metrics, account


def protocol_examples(
    model: Any,
    corpus: Any,
    account: Mapping[str, Any],
    *,
    embeddings: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Shown]:
    """Images and their nearest reports of each split that these protocols score, by split."""
    model = Remembering(model, embeddings) if embeddings else UnitEmbedder(model)
    splits = [each["split"] for each in account["protocols"].values()]
    return examples_by_split(model, corpus, splits, on_progress=on_progress)


def run_protocol(
    protocol: Protocol,
    model: UnitEmbedder,
    corpus: Any,
    *,
    prompts: Prompts | None = None,
    seed: int = 0,
    resamples: int = 1000,
    on_progress: Progress | None = None,
) -> tuple[Metrics, dict[str, Any]]:
    """Score `model` by `protocol` on a corpus of the kind it is for; the figures, and how they came about.

    prompts   by finding, in place of the protocol's own
    CallError if the corpus is of another kind, or lacks the split or a finding.
    """
    findings = findings_to_score(protocol, corpus)
    wording = None if protocol.task == "retrieval" else wording_of(protocol, findings, prompts)
    cases = cases_to_score(protocol, corpus, findings)
    images = cases.embedded(model, protocol, on_progress)
    sample = Sample(
        split=cases.split,
        rows=cases.rows,
        studies=cases.studies,
        images=images,
        resamples=resamples,
        seed=seed,
    )
    account = _account(protocol, sample)
    if wording is None:
        return _retrieval(model, sample), account
    account |= {"prompts": wording.prompts, "prompts_origin": wording.origin}
    embedded = EmbeddedPrompts(model, wording)
    if protocol.task == "classes":
        metrics, more = _classes(protocol, embedded, sample)
        return metrics, account | more
    validation = validation_cases(protocol, corpus, findings, cases)
    calibration = before = uncalibrated(model.scale, len(findings)) if wording.has_negative else None
    if validation:
        images = validation.embedded(model, protocol, on_progress)
        calibration = fit_calibration(embedded.scores(images, protocol.pooling), validation.studies.labels)
    metrics, more = _findings(protocol, embedded, sample, calibration, before)
    return metrics, account | more


def _account(protocol: Protocol, sample: Sample) -> dict[str, Any]:
    """What the figures rest on, and what they may be compared with."""
    fixed = asdict(protocol)
    for name in ("prompts", "positive", "negative", "findings"):
        del fixed[name]  # the prompts that were used stand beside
    studies = sample.studies
    return fixed | {
        "split": sample.split,
        "n_images": len(studies),
        "n_patients": len(set(studies.patient_ids)),
        "seed": sample.seed,
        "resamples": sample.resamples,
    }


def _retrieval(model: UnitEmbedder, sample: Sample) -> Metrics:
    """Image to text among the texts that differ by any letter, as CXR-CLIP takes them."""
    studies = sample.studies
    texts = tuple(dict.fromkeys(studies.texts))
    place = {text: number for number, text in enumerate(texts)}
    gallery = Gallery(texts=texts, text_of=np.array([place[text] for text in studies.texts], np.int64))
    given = (sample.images, embed_texts(model, texts), gallery, studies.labels, studies.patient_ids)
    metrics = sample.over_patients(partial(retrieval_metrics, *given))
    return {name: entry for name, entry in metrics.items() if name in _IMAGE_TO_TEXT}


def _classes(protocol: Protocol, prompts: EmbeddedPrompts, sample: Sample) -> tuple[Metrics, dict[str, Any]]:
    classes = prompts.wording.findings
    truth = (sample.studies.labels == 1).argmax(axis=1)  # NaN == 1 is false: a class not stated is none
    drawn = [draw_prompts(protocol, prompts.wording, seed=sample.seed, run=r) for r in range(protocol.runs)]
    runs = [prompts.scores(sample.images, protocol.pooling, draw) for draw in drawn]
    if protocol.standardized:
        runs = [standardized(scores) for scores in runs]
    given = (runs, truth, classes, sample.studies.patient_ids)
    metrics = sample.over_patients(lambda weights: class_metrics(*given, weights, seed=sample.seed))
    counts = np.bincount(truth, minlength=len(classes)).tolist()
    account = {
        "classes": dict(zip(classes, counts, strict=True)),
        "confusion": confusion(runs, truth),
        "drawn": drawn if protocol.sampled else None,
    }
    return metrics, account


def _findings(
    protocol: Protocol,
    prompts: EmbeddedPrompts,
    sample: Sample,
    calibration: Calibration | None,
    before: Calibration | None,
) -> tuple[Metrics, dict[str, Any]]:
    """Figures of the findings that count, and the AUROC of those beside them.

    calibration   None where nothing says where present begins: one side of prompts, no validation cases
    before        what there is without validation cases
    """
    findings, labels = prompts.wording.findings, sample.studies.labels
    beside = np.array([finding in protocol.apart for finding in findings])
    beside |= (labels == 1).sum(axis=0) < protocol.min_positives
    every = Scored(
        scores=prompts.scores(sample.images, protocol.pooling),
        labels=labels,
        findings=findings,
        patient_ids=sample.studies.patient_ids,
        calibration=calibration or uncalibrated(None, len(findings)),
    )
    cases, apart = every.of(~beside), every.of(beside)
    metrics = sample.over_patients(partial(zero_shot_metrics, cases))
    others = sample.over_patients(partial(zero_shot_metrics, apart))
    metrics |= {name: entry for name, entry in others.items() if name.startswith("auroc/")}
    account: dict[str, Any] = {"apart": apart.findings}
    if calibration is None:
        metrics = {name: entry for name, entry in metrics.items() if name not in DECISIONS}
        return metrics, account | {"calibration": "none: only rankings are scored"}
    decided = decisions(cases, before.of(~beside) if before else None, sample.over_patients)
    return metrics, account | {
        "calibration": calibration.origin,
        "reliability": decided.reliability,
        "calls": decided.calls,
    }
