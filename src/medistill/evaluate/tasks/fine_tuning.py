"""Fine-tuning on each share of the training patients, scored as the probes are."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32

from medistill.data.studies import studies_of
from medistill.evaluate.probes.fine_tune import FineTune
from medistill.evaluate.tasks.draws import SHARES
from medistill.evaluate.tasks.fewshot_figures import Ranking, stated
from medistill.evaluate.tasks.sample import Sample
from medistill.evaluate.tasks.training import RowImages, Training, share_ranking, taught
from medistill.model.dual import DualEncoder
from medistill.system.progress import Progress, counted

DRAWS = 3
"""Of each share but the whole: the first of those that the probe is fitted to."""


def fine_tune_results(
    model: Any, corpus: Any, training: Training, sample: Sample, on_progress: Progress | None = None
) -> dict[str, Ranking]:
    """The cases ranked by a model fine-tuned on each share, one of all findings a draw.

    It stops by the validation split; without one, by a fifth of the draw's patients, held out for it.
    """
    if not isinstance(model, DualEncoder):
        reason = f"only a model of medistill is fine-tuned, this is a {type(model).__name__}"
        return {f"fine_tune_auroc_macro@{share}": Ranking(reason=reason) for share in SHARES}
    labels = sample.studies.labels
    drawn = [
        draw
        for draw in training.shares
        if draw.number < DRAWS and draw.patients > 1 and taught(training.labels[draw.studies], labels)
    ]
    rankings = {share: share_ranking([d for d in drawn if d.share == share], share) for share in SHARES}
    validation = validation_images(corpus, sample.split, {*training.patient_ids, *sample.studies.patient_ids})
    cases = RowImages(sample.rows, sample.studies.rows)
    on_done = counted(on_progress, "fine-tuning rounds", FineTune(model).rounds * len(drawn))
    for draw in drawn:
        assert training.images, "what is drawn is drawn from something"
        own = training.labels[draw.studies]
        groups = [training.patient_ids[study] for study in draw.studies]
        tuned = FineTune(model, seed=sample.seed + draw.number, on_round=partial(on_done, 1))
        tuned.fit(training.images.select(draw.studies), own, groups=groups, validation=validation)
        on_done(tuned.rounds - len(tuned.losses_))  # those that patience saved
        scores = tuned.decision_function(cases)
        for f in taught(own, labels):
            rankings[draw.share].add(f, scores[stated(labels, f), f])
    return {f"fine_tune_auroc_macro@{share}": ranking for share, ranking in rankings.items()}


def validation_images(
    corpus: Any, split: str, elsewhere: set[str]
) -> tuple[RowImages, Float32[np.ndarray, "v f"]] | None:
    """The labeled studies of the validation split, unless that is what is evaluated.

    elsewhere   patients who are trained or scored on, left out
    """
    if split == "val" or "val" not in corpus.splits or not len(corpus.split("val")):
        return None
    rows = corpus.split("val")
    studies = studies_of(rows)
    kept = np.flatnonzero(
        np.isin(studies.labels, (0, 1)).any(axis=1)
        & np.array([patient not in elsewhere for patient in studies.patient_ids])
    )
    return (RowImages(rows, studies.rows[kept]), studies.labels[kept]) if len(kept) else None
