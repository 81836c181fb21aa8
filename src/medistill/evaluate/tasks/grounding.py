"""Grounding: does the map of a finding's phrase point at where the finding is marked?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8

from medistill.evaluate.statistics.interval import (
    Entry,
    Metrics,
    figure,
    mean_defined,
    mean_over,
    undefined,
)
from medistill.evaluate.tasks.sample import Sample
from medistill.model.grounding import STATED, NoPlacesError, PhraseMap
from medistill.system.progress import Progress, counted

CASES = 6
_BATCH = 32
_MACRO = (
    *("pointing_game", "pointing_game_center", "pointing_game_chance", "pointing_game_over_center"),
    *("cnr", "cnr_signed"),
)
_COLUMNS = ("pointing_game", "pointing_game_center", "pointing_game_chance", "cnr_signed")
"""What `case_scores` gives."""
RULES = {
    "phrase": "the pooled positive prompts less the pooled negative ones, as in zero-shot",
    "map": STATED,
    "cases": "each finding labeled 1 that is marked, on the image that stands for its study",
    "pointing_game": (
        "whether the map's maximum over the image's own pixels lies in the mark: no tolerance, of tied "
        "maxima the share inside; center: the same of the image's middle; chance: the mark's share of the "
        "image; over_center: the difference, paired by patient"
    ),
    "cnr": (
        "|mean inside - mean outside| / sqrt(variance inside + variance outside), as BioViL; "
        "signed: the same without the absolute value"
    ),
    "macro": "mean over the findings that have a case",
}
"""What is measured, in words, for evaluation.json."""


@runtime_checkable
class PhraseMapper(Protocol):
    """What grounding asks of a model: a map of each image for the phrase of its row."""

    def phrase_maps(self, images: Any, phrases: Any) -> Sequence[PhraseMap]: ...


@dataclass(frozen=True)
class Pointed:
    """One marked finding of one image and where the map of its phrase is."""

    image: UInt8[np.ndarray, "h w"]
    finding: str
    region: Bool[np.ndarray, "h w"]
    heat: Float32[np.ndarray, "h w"]


@dataclass(frozen=True)
class Grounding:
    """The figures, and some cases drawn at random, of different findings as far as there are."""

    metrics: Metrics
    cases: tuple[Pointed, ...] = ()


def ground(
    model: object,
    sample: Sample,
    findings: Sequence[str],
    phrases: Float32[np.ndarray, "f d"],
    on_progress: Progress | None = None,
) -> Grounding | None:
    """Grounding figures on the images of a sample; None if no finding of theirs is marked.

    phrases   what is looked for, a row a finding
    """
    marked = _marked(sample, findings)
    if not marked:
        return None
    patient_ids = sample.studies.patient_ids
    places, finding = np.array(marked).T
    scores = np.full((len(marked), len(_COLUMNS)), np.nan)
    shown, cases = _drawn(finding, seed=sample.seed), dict[int, Pointed]()
    try:
        for number, case in enumerate(_cases(model, sample, findings, marked, phrases, on_progress)):
            scores[number] = case_scores(case.heat, case.region)
            if number in shown:
                cases[number] = case
    except NoPlacesError as error:
        patients = [patient_ids[place] for place in places]
        return Grounding({name: undefined(str(error), patients) for name in _MACRO})
    given = (scores, places, finding, findings, patient_ids)
    metrics = sample.over_patients(lambda weights: grounding_metrics(*given, weights))
    return Grounding(metrics, tuple(cases[number] for number in shown))


def case_scores(heat: Float[np.ndarray, "h w"], region: Bool[np.ndarray, "h w"]) -> tuple[float, ...]:
    """Of one map and its mark: pointing game, that of the middle and of chance, contrast with its sign."""
    return (
        pointing(heat, region),
        pointing_center(region),
        float(region.mean()),
        contrast_to_noise(heat, region),
    )


def pointing(heat: Float[np.ndarray, "h w"], region: Bool[np.ndarray, "h w"]) -> float:
    """1 if the map's maximum lies in the region, 0 if not; of tied maxima the share that does.

    Values within a millionth of the map's range are tied: a flat border is one, but for rounding.
    """
    top = heat.max()
    return float(region[heat >= top - 1e-6 * (top - heat.min())].mean())


def pointing_center(region: Bool[np.ndarray, "h w"]) -> float:
    """The pointing game of the image's middle: one pixel, or the two or four that meet there."""
    down, across = (slice((side - 1) // 2, side // 2 + 1) for side in region.shape)
    return float(region[down, across].mean())


def contrast_to_noise(heat: Float[np.ndarray, "h w"], region: Bool[np.ndarray, "h w"]) -> float:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside); NaN for a flat map.

    Its absolute value is the contrast-to-noise ratio of BioViL (Boecking et al. 2022), which a map that is
    dark where the finding is also gets.
    """
    if region.all() or not region.any():
        return float("nan")
    inside, outside = (heat[part].astype(np.float64) for part in (region, ~region))
    noise = np.sqrt(inside.var() + outside.var())
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else float("nan")


def grounding_metrics(
    scores: Float[np.ndarray, "m c"],
    places: Int[np.ndarray, " m"],
    finding: Int[np.ndarray, " m"],
    findings: Sequence[str],
    patient_ids: Sequence[str],
    weights: Float32[np.ndarray, "n s"],
) -> Metrics:
    """Every grounding figure; a resample leaves out the findings that have no case in it.

    scores    of each case, as `case_scores`
    places    the study of each case
    finding   the number of its finding
    """
    columns: dict[str, np.ndarray] = dict(zip(_COLUMNS, scores.T, strict=True))
    columns["pointing_game_over_center"] = columns["pointing_game"] - columns["pointing_game_center"]
    columns["cnr"] = np.abs(columns["cnr_signed"])
    entries: Metrics = {}
    for name in _MACRO:
        values, defined = columns[name], np.isfinite(columns[name])
        means: list[np.ndarray] = []
        for f in sorted(set(finding.tolist())):
            cases = np.flatnonzero((finding == f) & defined)
            means.append(mean_over(values[cases], weights[places[cases]]))
            entries[f"{name}/{findings[f]}"] = _entry(means[-1], places[cases], patient_ids)
        entries[name] = _entry(
            mean_defined(np.stack(means)),
            places[defined],
            patient_ids,
            n_findings=sum(bool(np.isfinite(mean[0])) for mean in means),
        )
    return entries


def _entry(
    values: Float[np.ndarray, " s"], places: Int[np.ndarray, " m"], patient_ids: Sequence[str], **counts: int
) -> Entry:
    """A figure that rests on the images of these studies, each counted once."""
    patients = [patient_ids[int(place)] for place in np.unique(places)]
    entry = figure(values, patients, reason="no map with contrast", n_marks=len(places))
    entry.update(counts)
    return entry


def _marked(sample: Sample, findings: Sequence[str]) -> list[tuple[int, int]]:
    """Place of the study and number of the finding, for each finding that is present and marked."""
    marked: list[tuple[int, int]] = []
    for place, row in enumerate(sample.studies.rows):
        present = [f for f in range(len(findings)) if sample.studies.labels[place, f] == 1]
        regions = sample.rows.regions(int(row)) if present else {}
        marked += [(place, f) for f in present if findings[f] in regions]
    return marked


def _drawn(finding: Int[np.ndarray, " m"], *, seed: int) -> list[int]:
    """The numbers of some cases: at random one a finding, then further ones."""
    order = np.random.default_rng([seed, CASES]).permutation(len(finding))
    first = np.unique(finding[order], return_index=True)[1]
    later = np.setdiff1d(np.arange(len(order)), first)
    return order[np.concatenate([np.sort(first), later])[:CASES]].tolist()


def _cases(
    model: object,
    sample: Sample,
    findings: Sequence[str],
    marked: Sequence[tuple[int, int]],
    phrases: Float32[np.ndarray, "f d"],
    on_progress: Progress | None,
) -> Iterator[Pointed]:
    """Each marked finding with its map, a batch in memory at a time."""
    if not isinstance(model, PhraseMapper):
        raise NoPlacesError("the model gives no map of a phrase over an image")
    rows, studies = sample.rows, sample.studies
    on_done, done = counted(on_progress, f"{sample.split} images with marks", len(studies)), 0
    for start in range(0, len(marked), _BATCH):
        batch = marked[start : start + _BATCH]
        images = [rows.image(int(studies.rows[place])) for place, _ in batch]
        maps = model.phrase_maps(images, torch.from_numpy(phrases[[f for _, f in batch]]))
        for (place, f), image, heat in zip(batch, images, maps, strict=True):
            region = rows.regions(int(studies.rows[place]))[findings[f]]
            yield Pointed(image, findings[f], region, heat.over_image())
        # Studies without a mark are counted with the next that has one, the last of all with the last batch.
        reached = len(studies) if start + _BATCH >= len(marked) else batch[-1][0] + 1
        on_done(reached - done)
        done = reached
