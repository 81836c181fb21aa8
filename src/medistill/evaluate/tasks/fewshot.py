"""The few-shot task: classifiers on frozen embeddings of the training studies of each draw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from medistill.evaluate.probes.linear_probe import LinearProbe
from medistill.evaluate.probes.lpp import ROUNDS, LPPlusPlus, blend
from medistill.evaluate.prompts.prompts import Sides
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.tasks.draws import SHARES, SHOTS, Draw, ShareDraw, exclusive
from medistill.evaluate.tasks.fewshot_figures import (
    Guesses,
    Ranking,
    Results,
    classed,
    few_shot_metrics,
    stated,
)
from medistill.evaluate.tasks.sample import Sample
from medistill.evaluate.tasks.training import Training, share_ranking, taught, training_of
from medistill.model.embedder import UnitEmbedder
from medistill.system.progress import Progress

_SHARE_CS = (1.0, 0.1, 10.0, 100.0, 1000.0)
"""Wider than for shots: on thousands of studies the best C lies beyond 10."""


def few_shot(
    model: UnitEmbedder,
    corpus: Any,
    sample: Sample,
    sides: Sides,
    *,
    draws: int,
    fine_tune: bool = False,
    on_progress: Progress | None = None,
) -> Metrics:
    """Figures of every classifier of few training patients on the cases of a sample."""
    studies = sample.studies
    training = training_of(model, corpus, sample, draws=draws, on_progress=on_progress)
    results = probe_results(training, sample.images, studies.labels, sides)
    if fine_tune:
        from medistill.evaluate.tasks.fine_tuning import fine_tune_results

        results = {**results, **fine_tune_results(model.model, corpus, training, sample, on_progress)}
    given = (results, studies.labels, studies.patient_ids)
    return sample.over_patients(lambda weights: few_shot_metrics(*given, weights, seed=sample.seed))


def probe_results(
    training: Training, images: Float32[np.ndarray, "n d"], labels: Float32[np.ndarray, "n f"], sides: Sides
) -> Results:
    """What every probe makes of the cases with these images and labels."""
    results: dict[str, Ranking | Guesses] = shot_results(training, images, labels, sides)
    if exclusive(labels) and (not len(training.labels) or exclusive(training.labels)):
        results |= class_results(training, images, labels, sides[0])
    return {**results, **share_results(training, images, labels)}


def shot_results(
    training: Training, images: Float32[np.ndarray, "n d"], labels: Float32[np.ndarray, "n f"], sides: Sides
) -> dict[str, Ranking | Guesses]:
    """At each k the linear probe and LP++, on the same draws."""
    results: dict[str, Ranking | Guesses] = {}
    for k in SHOTS:
        reason = f"no finding has {k} + {k} patients to train on and both classes to test on"
        probe, blended = Ranking(reason=reason), Ranking(reason=reason)
        drawn = [draw for draw in training.shots if draw.k == k and len(stated(labels, draw.finding))]
        for draw, direction in zip(drawn, _blended(training, drawn, sides), strict=True):
            cases = images[stated(labels, draw.finding)]
            fitted = LinearProbe().fit(training.embeddings[draw.studies], np.repeat([1, 0], k))
            probe.add(draw.finding, fitted.decision_function(cases))
            blended.add(draw.finding, cases @ direction)
        results |= {f"auroc_macro@{k}": probe, f"auroc_macro_lpp@{k}": blended}
    return results


def _blended(training: Training, drawn: Sequence[Draw], sides: Sides) -> Float[np.ndarray, "b d"]:
    """LP++ of all these draws of one k at once: where its logit of present less that of absent points."""
    if not drawn:
        return np.zeros((0, training.embeddings.shape[1]))
    images = training.embeddings[np.stack([draw.studies for draw in drawn])].astype(np.float64)
    findings = [draw.finding for draw in drawn]
    texts = np.stack([side[findings] for side in sides], axis=1).astype(np.float64)
    own = np.repeat(np.eye(2), drawn[0].k, axis=0)
    prototypes, alpha = blend(images, own, texts, rounds=ROUNDS)
    blended = prototypes + alpha[..., None] * texts
    return blended[:, 0] - blended[:, 1]


def class_results(
    training: Training,
    images: Float32[np.ndarray, "n d"],
    labels: Float32[np.ndarray, "n f"],
    texts: Float32[np.ndarray, "f d"],
) -> dict[str, Ranking | Guesses]:
    """At each k the class that the linear probe and LP++ find most likely; findings must be classes."""
    cases = classed(labels)
    truth = labels[cases].argmax(axis=1)
    results: dict[str, Ranking | Guesses] = {}
    for k in SHOTS:
        drawn = [draw for draw in training.classes if draw.k == k]
        reason = f"a class has fewer than {k} patients to train on"
        y = np.repeat(np.arange(len(texts)), k)
        for name, probe in (("accuracy", LinearProbe()), ("accuracy_lpp", LPPlusPlus(texts))):
            right = np.zeros((len(drawn), len(cases)), dtype=bool)
            for row, draw in zip(right, drawn, strict=True):
                row[:] = probe.fit(training.embeddings[draw.studies], y).predict(images[cases]) == truth
            counts = {"n_classes": len(texts), "n_draws": len(drawn)}
            results[f"{name}@{k}"] = Guesses(reason=reason, right=right, counts=counts)
    return results


def share_results(
    training: Training, images: Float32[np.ndarray, "n d"], labels: Float32[np.ndarray, "n f"]
) -> dict[str, Ranking | Guesses]:
    """The linear probe at each share of the training patients; C never parts the studies of a patient."""

    def scores(draw: ShareDraw, finding: int, cases: Int[np.ndarray, " c"]) -> Float[np.ndarray, " c"]:
        studies = draw.studies[np.isin(training.labels[draw.studies, finding], (0, 1))]
        groups = [training.patient_ids[study] for study in studies]
        present = training.labels[studies, finding] == 1
        probe = LinearProbe(_SHARE_CS).fit(training.embeddings[studies], present, groups=groups)
        return probe.decision_function(images[cases])

    results: dict[str, Ranking | Guesses] = {}
    for share in SHARES:
        drawn = [draw for draw in training.shares if draw.share == share]
        ranking = share_ranking(drawn, share)
        for draw in drawn:
            for f in taught(training.labels[draw.studies], labels):
                ranking.add(f, scores(draw, f, stated(labels, f)))
        results[f"auroc_macro@{share}"] = ranking
    return results
