"""What few-shot classifiers and fine-tuning learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

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
from medistill.evaluate.tasks.sample import Sample
from medistill.model.embedding import Embedder, embed_images
from medistill.system.progress import Progress, counted


class RowImages:
    """The images of some rows, decoded one by one."""

    def __init__(self, rows: Any, chosen: Int[np.ndarray, " n"]) -> None:
        self.rows, self.chosen = rows, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: int) -> UInt8[np.ndarray, "h w"]:
        return self.rows.image(int(self.chosen[place]))

    def select(self, places: Int[np.ndarray, " m"]) -> "RowImages":
        return RowImages(self.rows, self.chosen[places])


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training studies, and which of them each classifier is given."""

    embeddings: Float32[np.ndarray, "t d"]
    """Of those that some draw holds; zero for the rest."""
    labels: Float32[np.ndarray, "t f"]
    patient_ids: Sequence[str]
    images: RowImages | None = None
    """What was embedded; None without a study to train on."""
    shots: Sequence[Draw] = ()
    classes: Sequence[ClassDraw] = ()
    shares: Sequence[ShareDraw] = ()


def training_of(
    model: Embedder, corpus: Any, sample: Sample, *, draws: int, on_progress: Progress | None = None
) -> Training:
    """The draws from the corpus's training studies, and the embeddings of those that some draw holds.

    draws   classifiers of each finding and k; of each share there are at most SHARE_DRAWS.
    """
    drawn_from = training_studies(corpus, sample)
    if drawn_from is None:
        nothing = np.zeros((0, len(corpus.findings)), np.float32)
        return Training(embeddings=sample.images[:0], labels=nothing, patient_ids=())
    rows, studies = drawn_from
    given = (studies.labels, studies.patient_ids, corpus.findings)
    shots = draw_shots(*given, draws=draws, seed=sample.seed)
    classes = draw_classes(*given, draws=draws, seed=sample.seed) if exclusive(studies.labels) else []
    shares = draw_shares(*given, draws=min(draws, SHARE_DRAWS), seed=sample.seed)
    drawn = [draw.studies for draw in (*shots, *classes, *shares)]
    embeddings = np.zeros((len(studies), sample.images.shape[1]), np.float32)
    if drawn:
        needed = np.unique(np.concatenate(drawn))
        on_done = counted(on_progress, "training images", len(needed))
        embeddings[needed] = embed_images(model, rows, studies.rows[needed], on_done)
    return Training(
        embeddings=embeddings,
        labels=studies.labels,
        patient_ids=studies.patient_ids,
        images=RowImages(rows, studies.rows),
        shots=shots,
        classes=classes,
        shares=shares,
    )


def training_studies(corpus: Any, sample: Sample) -> tuple[Any, Studies] | None:
    """The rows of the training split and the studies to train on; None if there are none.

    No patient of the sample is trained on, whatever the corpus's splits say.
    """
    if sample.split == "train" or "train" not in corpus.splits or not len(corpus.split("train")):
        return None
    rows, held_out = corpus.split("train"), set(sample.studies.patient_ids)
    studies = studies_of(rows)
    kept = np.flatnonzero([patient not in held_out for patient in studies.patient_ids])
    return (rows, studies.select(kept)) if len(kept) else None


def taught(own: Float32[np.ndarray, "m f"], labels: Float32[np.ndarray, "n f"]) -> list[int]:
    """The findings that have both classes among the labels trained on, and among those of the cases."""
    return [f for f in range(labels.shape[1]) if len(stated(own, f)) and len(stated(labels, f))]


def share_ranking(drawn: Sequence[ShareDraw], share: str) -> Ranking:
    """An empty ranking for classifiers of these draws of a share."""
    reason = f"no finding has both classes in {share} of the training patients and among the cases"
    counts = {"n_draws": len(drawn), "n_train_patients": drawn[0].patients} if drawn else {}
    return Ranking(reason=reason, counts=counts)
