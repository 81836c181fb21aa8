"""Retrieval in both directions between studies and the distinct reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.special import gammaln

from medistill.data.studies import Gallery, gallery_of, units
from medistill.evaluate.statistics.interval import (
    Metrics,
    figure,
    mean_over,
    median_over,
    patients_of,
    undefined,
)
from medistill.model.embedding import Reported, as_array

RECALL_AT = (1, 5, 10)
PRECISION_AT = (5, 10, 100)
_NAMES = (
    *(f"{way}_r@{k}" for way in ("i2t", "t2i") for k in RECALL_AT),
    *(f"{way}_r@{k}_unique" for way in ("i2t", "t2i") for k in RECALL_AT),
    *("mean_r@10_unique", "rsum", "i2t_mean_rank", "i2t_median_rank", "chance_r@10"),
    *(f"i2t_p@{k}" for k in PRECISION_AT),
)


def similarity(
    queries: Float32[np.ndarray, "q d"], gallery: Float32[np.ndarray, "g d"]
) -> Float32[np.ndarray, "q g"]:
    """Cosines to six digits: less is a tie, so rounding noise never ranks a collapsed model."""
    return np.round(queries @ gallery.T, 6)


def first_ranks(
    similar: Float[np.ndarray, "q g"], positive: Bool[np.ndarray, "q g"]
) -> Int[np.ndarray, " q"]:
    """Rank of each query's best positive, from 1; whatever ties with it is counted as ranked before it."""
    best = np.where(positive, similar, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((similar >= best) & ~positive).sum(axis=1)


def chance_recall(positives: Int[np.ndarray, " q"], n: int, k: int) -> Float[np.ndarray, " q"]:
    """Recall@k of a random order of n with so many positives: 1 - C(n - p, k) / C(n, k)."""
    p = positives.astype(np.float64)
    if k >= n:
        return np.ones_like(p)
    room = np.maximum(n - p - k, 0)
    # In logarithms: the binomials of a gallery of thousands are beyond a float.
    missed = gammaln(n - p + 1) - gammaln(room + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return np.where(n - p >= k, 1 - np.exp(missed), 1.0)


def validation_metrics(
    image_embeddings: Any, text_embeddings: Any, texts: Sequence[str], study_ids: Sequence[str]
) -> dict[str, float]:
    """Recall@10 both ways, chance, and the mean cosine between rows of the more collapsed modality.

    One row an image, with its study's text. A light look while training: no intervals.
    """
    seen: dict[tuple[str, str], int] = {}
    for row, unit in enumerate(units(study_ids, texts)):
        seen.setdefault(unit, row)
    first = list(seen.values())
    images = as_array(image_embeddings)[first]
    gallery = gallery_of([texts[int(row)] for row in first])
    own = np.unique(gallery.text_of, return_index=True)[1]
    reports = as_array(text_embeddings)[first][own]
    similar, positive = similarity(images, reports), _own_text(gallery)
    n = len(gallery.texts)
    return {
        "i2t_r@10": float((first_ranks(similar, positive) <= 10).mean()),
        "t2i_r@10": float((first_ranks(similar.T, positive.T) <= 10).mean()),
        "chance_r@10": float(chance_recall(positive.sum(axis=1), n, 10).mean()),
        "mean_cosine": max(mean_cosine(images), mean_cosine(reports)),
    }


def mean_cosine(rows: Float32[np.ndarray, "n d"]) -> float:
    """Mean cosine over all pairs of different unit rows; 1 for a single row."""
    n = len(rows)
    total = rows.astype(np.float64).sum(axis=0)
    return float((total @ total - n) / (n * (n - 1))) if n > 1 else 1.0


def retrieval_of(reported: Reported, weights: Float32[np.ndarray, "n s"]) -> Metrics:
    """Every retrieval figure; the weights are of all studies, with a report or without."""
    studies = reported.studies
    given = (reported.images, reported.reports, reported.gallery, studies.labels, studies.patient_ids)
    return retrieval_metrics(*given, weights[reported.places])


def retrieval_metrics(
    images: Float32[np.ndarray, "n d"],
    reports: Float32[np.ndarray, "g d"],
    gallery: Gallery,
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
) -> Metrics:
    """Every retrieval figure; the gallery stays as it is while the queries are resampled by patient.

    image to text: each study asks for its own report among the distinct ones.
    text to image: each distinct report asks for any of its studies; it weighs as its studies do on average.
    """
    if not gallery.texts:
        return {name: undefined("no study of the split has a report", patient_ids) for name in _NAMES}
    similar, positive = similarity(images, reports), _own_text(gallery)
    sharing = np.bincount(gallery.text_of, minlength=len(gallery.texts))
    by_text = (positive.T / sharing[:, None]).astype(np.float32) @ weights
    ranks, text_ranks = first_ranks(similar, positive), first_ranks(similar.T, positive.T)

    entries: Metrics = {}
    total = np.zeros(weights.shape[1])
    for name, rank, weight in (("i2t", ranks, weights), ("t2i", text_ranks, by_text)):
        for k in RECALL_AT:
            values = mean_over((rank <= k).astype(np.float64), weight)
            entries[f"{name}_r@{k}"] = figure(values, patient_ids)
            total += values
    entries["rsum"] = figure(total, patient_ids)
    entries["i2t_mean_rank"] = figure(mean_over(ranks.astype(np.float64), weights), patient_ids)
    entries["i2t_median_rank"] = figure(median_over(ranks.astype(np.float64), weights), patient_ids)
    chance = chance_recall(positive.sum(axis=1), len(gallery.texts), 10)
    entries["chance_r@10"] = figure(mean_over(chance, weights), patient_ids)
    alone = np.asarray(sharing == 1)
    own = alone[gallery.text_of]
    queries = {"i2t": (ranks[own], weights[own]), "t2i": (text_ranks[alone], by_text[alone])}
    entries |= _recalls_of_unique(queries, patients_of(patient_ids, own))
    return entries | _precision_entries(similar, gallery, labels, patient_ids, weights)


def _own_text(gallery: Gallery) -> Bool[np.ndarray, "n g"]:
    return gallery.text_of[:, None] == np.arange(len(gallery.texts))


def _recalls_of_unique(
    queries: Mapping[str, tuple[Int[np.ndarray, " u"], Float32[np.ndarray, "u s"]]], patients: Sequence[str]
) -> Metrics:
    """Recall of the reports that belong to one study only, among all reports or all studies.

    queries   by direction: the rank of each, and its weights; of both directions those of the same studies
    """
    reason = "no report belongs to one study only"
    values = {
        f"{way}_r@{k}_unique": mean_over((ranks <= k).astype(np.float64), weights)
        for way, (ranks, weights) in queries.items()
        for k in RECALL_AT
    }
    values["mean_r@10_unique"] = (values["i2t_r@10_unique"] + values["t2i_r@10_unique"]) / 2
    return {name: figure(value, patients, reason=reason) for name, value in values.items()}


def _precision_entries(
    similar: Float32[np.ndarray, "n g"],
    gallery: Gallery,
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
) -> Metrics:
    queries = np.isfinite(labels).any(axis=1)
    patients = patients_of(patient_ids, np.asarray(queries))
    names = {k: f"i2t_p@{k}" for k in PRECISION_AT}
    if not queries.any():
        return {name: undefined("the studies have no labels", patients) for name in names.values()}
    order = np.argsort(-similar[queries], axis=1, kind="stable")
    relevant = np.take_along_axis(relevant_texts(labels, gallery)[queries], order, axis=1)
    n = len(gallery.texts)
    return {
        name: figure(mean_over(relevant[:, :k].mean(axis=1), weights[queries]), patients)
        if k <= n
        else undefined(f"the gallery holds {n} distinct reports, fewer than {k}", patients)
        for k, name in names.items()
    }


def relevant_texts(labels: Float32[np.ndarray, "n f"], gallery: Gallery) -> Bool[np.ndarray, "n g"]:
    """Reports that share a finding with the study, or are normal as it is.

    A report has the findings present in any of its studies. Normal: some finding stated, all of them absent.
    With one label a study (classes), relevant is the same class, as in GLoRIA and ConVIRT.
    """
    present = labels == 1
    normal = (labels == 0).any(axis=1) & ~np.isin(labels, (1, -1)).any(axis=1)
    member = _own_text(gallery).T.astype(np.float32)
    text_present = member @ present.astype(np.float32) > 0
    text_normal = (member @ normal.astype(np.float32) > 0) & ~text_present.any(axis=1)
    shared = present.astype(np.float32) @ text_present.astype(np.float32).T > 0
    return shared | (normal[:, None] & text_normal)
