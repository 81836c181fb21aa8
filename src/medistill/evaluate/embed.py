"""Studies and prompts through a model, one image a study."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int

from medistill.data.report import normalized_text
from medistill.data.study import NO_REPORT
from medistill.evaluate.prompts import SIDES
from medistill.evaluate.remembering import Remembering

UNIT = (
    "study, by its first frontal image (PA, AP or not stated), or its first image if none is frontal; "
    "a study whose images have texts of their own counts once a text"
)
Progress = Callable[[str, int, int], None]
"""Told what is being embedded, how many images are done and how many there are."""
_BATCH = 64
_SIDEWAYS = "lateral"


@runtime_checkable
class Embedder(Protocol):
    """What evaluation asks of a model: a row an item, numpy or torch; and `scale`, if it has one."""

    def encode_images(self, images: Any) -> Any: ...

    def encode_texts(self, texts: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Studies:
    """The studies of a split in the order of their ids, whatever the order of the rows."""

    rows: Int[np.ndarray, " n"]
    """The row whose image stands for each study."""
    study_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    texts: tuple[str, ...]
    labels: Float32[np.ndarray, "n f"]
    """1 present, 0 absent, -1 uncertain, NaN not stated."""

    def __len__(self) -> int:
        return len(self.study_ids)

    @property
    def reported(self) -> Int[np.ndarray, " r"]:
        """The places of those that have a report."""
        return np.flatnonzero([text != NO_REPORT for text in self.texts])

    def with_labels(self, labels: Float32[np.ndarray, "n f"]) -> "Studies":
        return replace(self, labels=labels)

    def select(self, places: Int[np.ndarray, " r"]) -> "Studies":
        return Studies(
            rows=self.rows[places],
            study_ids=tuple(self.study_ids[place] for place in places),
            patient_ids=tuple(self.patient_ids[place] for place in places),
            texts=tuple(self.texts[place] for place in places),
            labels=self.labels[places],
        )


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The distinct reports of some studies: one text for all that read the same when normalized."""

    texts: tuple[str, ...]
    text_of: Int[np.ndarray, " n"]
    """The gallery text of each study."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The studies that have a report, with the embeddings of their images and of the distinct reports."""

    places: Int[np.ndarray, " r"]
    """Where they stand among all studies."""
    studies: Studies
    gallery: Gallery
    images: Float32[np.ndarray, "r d"]
    reports: Float32[np.ndarray, "g d"]


def studies_of(rows: Any) -> Studies:
    """One entry a study from `data.corpus.Rows`, or one for each different text of it."""
    first: dict[tuple[str, str], int] = {}
    frontal: dict[tuple[str, str], int] = {}
    for row, (unit, view) in enumerate(zip(units(rows.study_ids, rows.texts), rows.views, strict=True)):
        first.setdefault(unit, row)
        if view is None or view.casefold() != _SIDEWAYS:
            frontal.setdefault(unit, row)
    return studies_at(rows, [frontal.get(unit, first[unit]) for unit in sorted(first)])


def studies_at(rows: Any, chosen: Sequence[int]) -> Studies:
    """One entry for each of these rows, in this order."""
    every = Studies(
        rows=np.arange(len(rows.study_ids)),
        study_ids=tuple(rows.study_ids),
        patient_ids=tuple(rows.patient_ids),
        texts=tuple(rows.texts),
        labels=np.asarray(rows.labels, dtype=np.float32),
    )
    return every.select(np.array(chosen, dtype=np.int64))


def units(study_ids: Sequence[str], texts: Sequence[str]) -> list[tuple[str, str]]:
    """What each row is an image of: a study and what it says."""
    return [(study, normalized_text(text)) for study, text in zip(study_ids, texts, strict=True)]


def gallery_of(texts: Sequence[str]) -> Gallery:
    """The distinct texts in order of first appearance."""
    place: dict[str, int] = {}
    distinct: list[str] = []
    text_of: list[int] = []
    for text in texts:
        key = normalized_text(text)
        if key not in place:
            place[key] = len(distinct)
            distinct.append(text)
        text_of.append(place[key])
    return Gallery(texts=tuple(distinct), text_of=np.array(text_of, dtype=np.int64))


def told_in(on_progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    if on_progress is None:
        return None
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        on_progress(what, done, total)

    return tell


def embed_images(
    model: Embedder,
    rows: Any,
    chosen: Sequence[int] | np.ndarray,
    on_done: Callable[[int], None] | None = None,
) -> Float32[np.ndarray, "n d"]:
    """The embeddings of these rows' images, a batch at a time; `on_done` hears how many each batch held."""
    if isinstance(model, Remembering):
        return model.encode_rows(rows, chosen, on_done)
    parts: list[np.ndarray] = []
    for start in range(0, len(chosen), _BATCH):
        images = [rows.image(int(row)) for row in chosen[start : start + _BATCH]]
        parts.append(as_array(model.encode_images(images)))
        if on_done:
            on_done(len(images))
    return np.concatenate(parts)


def embed_texts(model: Embedder, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
    """The embeddings of these texts, a batch at a time."""
    starts = range(0, len(texts), _BATCH)
    return np.concatenate(
        [as_array(model.encode_texts(list(texts[start : start + _BATCH]))) for start in starts]
    )


def reported_of(model: Embedder, studies: Studies, images: Float32[np.ndarray, "n d"]) -> Reported:
    """Those of some studies that have a report; `images` are the embeddings of all of them."""
    places = studies.reported
    told = studies.select(places)
    gallery = gallery_of(told.texts)
    reports = embed_texts(model, gallery.texts) if gallery.texts else images[:0]
    return Reported(places=places, studies=told, gallery=gallery, images=images[places], reports=reports)


def embed_prompts(
    model: Embedder, prompts: Mapping[str, Mapping[str, Sequence[str]]]
) -> tuple[Float32[np.ndarray, "f d"], Float32[np.ndarray, "f d"]]:
    """Each finding's positive and negative side: the mean of its prompts' embeddings, made unit."""
    texts = [text for sides in prompts.values() for side in SIDES for text in sides[side]]
    lengths = [len(sides[side]) for sides in prompts.values() for side in SIDES]
    embedded = embed_texts(model, texts)
    means = np.stack([unit_mean(part) for part in np.split(embedded, np.cumsum(lengths)[:-1])])
    return means[0::2], means[1::2]


def unit_mean(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " d"]:
    """The mean of some rows, of norm 1; zeros stay zeros."""
    mean = rows.mean(axis=0)
    return mean / np.maximum(np.linalg.norm(mean), 1e-12)


def as_array(embedding: Any) -> Float32[np.ndarray, "n d"]:
    """A tensor or array as float32 on the host."""
    array = embedding.detach().cpu().float().numpy() if hasattr(embedding, "detach") else embedding
    return np.asarray(array, dtype=np.float32)
