"""Fine-tuning on each share of the training patients, scored as the probes are."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

from medistill.data.studies import Studies, studies_of
from medistill.evaluate.probes.fine_tune import FineTune
from medistill.evaluate.tasks.draws import SHARES
from medistill.evaluate.tasks.fewshot_figures import Guesses, Ranking, stated
from medistill.evaluate.tasks.training import Told, Training, share_ranking, taught
from medistill.model.dual import DualEncoder

DRAWS = 3
"""Of each share but the whole: the first of those that the probe is fitted to."""


class RowImages:
    """The images of some rows, decoded when asked for."""

    def __init__(self, rows: Any, chosen: Int[np.ndarray, " n"]) -> None:
        self.rows, self.chosen = rows, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: int) -> UInt8[np.ndarray, "h w"]:
        return self.rows.image(int(self.chosen[place]))


def fine_tune_results(
    model: Any,
    training: Training,
    found: tuple[Any, Studies] | None,
    validation: tuple[RowImages, Float32[np.ndarray, "v f"]] | None,
    images: RowImages,
    labels: Float32[np.ndarray, "n f"],
    *,
    seed: int,
    told: Told,
) -> dict[str, Ranking | Guesses]:
    """The cases ranked by a model fine-tuned on each share, one of all findings a draw.

    found        the training rows and studies that `training` was drawn from
    validation   images and labels to stop by; without, a fifth of the draw's patients is held out for it
    """
    if not isinstance(model, DualEncoder):
        reason = f"only a model of medistill is fine-tuned, this is a {type(model).__name__}"
        return {f"fine_tune_auroc_macro@{share}": Ranking(reason=reason) for share in SHARES}
    drawn = [
        draw
        for draw in training.shares
        if draw.number < DRAWS and draw.patients > 1 and taught(training.labels[draw.studies], labels)
    ]
    rankings = {share: share_ranking([d for d in drawn if d.share == share], share) for share in SHARES}
    tell = told("fine-tuning rounds", FineTune(model).rounds * len(drawn)) if drawn else None
    for draw in drawn:
        assert found, "what is drawn is drawn from something"
        rows, studies = found
        own = training.labels[draw.studies]
        groups = [training.patient_ids[study] for study in draw.studies]
        tuned = FineTune(model, seed=seed + draw.number, on_round=partial(tell, 1) if tell else None)
        tuned.fit(RowImages(rows, studies.rows[draw.studies]), own, groups=groups, validation=validation)
        if tell:
            tell(tuned.rounds - len(tuned.losses_))
        scores = tuned.decision_function(images)
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
