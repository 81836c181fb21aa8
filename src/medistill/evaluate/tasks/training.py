"""What few-shot classifiers and fine-tuning learn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from medistill.data.studies import Studies, studies_of
from medistill.evaluate.tasks.draws import (
    SHARE_DRAWS,
    ClassDraw,
    Draw,
    ShareDraw,
    draw_classes,
    draw_shares,
    draw_shots,
    exclusive,
)
from medistill.evaluate.tasks.fewshot_figures import Ranking, stated
from medistill.model.embedding import Embedder, embed_images

Told = Callable[[str, int], Callable[[int], None] | None]
"""(what is done, how much of it there is) -> who hears how much more of it is done."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training studies, and which of them each classifier is given."""

    embeddings: Float32[np.ndarray, "t d"]
    """Of those that some draw holds; zero for the rest."""
    labels: Float32[np.ndarray, "t f"]
    patient_ids: Sequence[str]
    shots: Sequence[Draw] = ()
    classes: Sequence[ClassDraw] = ()
    shares: Sequence[ShareDraw] = ()


def training_studies(corpus: Any, split: str, scored: Sequence[str]) -> tuple[Any, Studies] | None:
    """The rows of the training split and the studies to train on; None if there are none.

    scored   patients of the cases: none of them is trained on, whatever the corpus's splits say.
    """
    if split == "train" or "train" not in corpus.splits:
        return None
    rows = corpus.split("train")
    if not len(rows):
        return None
    studies, held_out = studies_of(rows), set(scored)
    kept = np.flatnonzero([patient not in held_out for patient in studies.patient_ids])
    return (rows, studies.select(kept)) if len(kept) else None


def embedded_training(
    model: Embedder,
    found: tuple[Any, Studies] | None,
    findings: Sequence[str],
    width: int,
    *,
    draws: int,
    seed: int,
    told: Told,
) -> Training:
    """The draws from what `training_studies` found, and the embeddings of those that some draw holds.

    draws   classifiers of each finding and k; of each share there are at most SHARE_DRAWS.
    """
    if found is None:
        nothing = np.zeros((0, len(findings)), np.float32)
        return Training(embeddings=np.zeros((0, width), np.float32), labels=nothing, patient_ids=())
    rows, studies = found
    given = (studies.labels, studies.patient_ids, findings)
    shots = draw_shots(*given, draws=draws, seed=seed)
    classes = draw_classes(*given, draws=draws, seed=seed) if exclusive(studies.labels) else []
    shares = draw_shares(*given, draws=min(draws, SHARE_DRAWS), seed=seed)
    drawn = [draw.studies for draw in (*shots, *classes, *shares)]
    embeddings = np.zeros((len(studies), width), np.float32)
    if drawn:
        needed = np.unique(np.concatenate(drawn))
        on_done = told("training images", len(needed))
        embeddings[needed] = embed_images(model, rows, studies.rows[needed], on_done)
    return Training(
        embeddings=embeddings,
        labels=studies.labels,
        patient_ids=studies.patient_ids,
        shots=shots,
        classes=classes,
        shares=shares,
    )


def taught(own: Float32[np.ndarray, "m f"], labels: Float32[np.ndarray, "n f"]) -> list[int]:
    """The findings that have both classes among the labels trained on, and among those of the cases."""
    return [f for f in range(labels.shape[1]) if len(stated(own, f)) and len(stated(labels, f))]


def share_ranking(drawn: Sequence[ShareDraw], share: str) -> Ranking:
    """An empty ranking for classifiers of these draws of a share."""
    reason = f"no finding has both classes in {share} of the training patients and among the cases"
    counts = {"n_draws": len(drawn), "n_train_patients": drawn[0].patients} if drawn else {}
    return Ranking(reason=reason, counts=counts)
