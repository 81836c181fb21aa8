"""Evaluation subsets drawn by a published rule from the user's own copy of a set."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medistill.errors import CallError

TASKS = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion")
_SHARED = "no finding"
"""The one label of CheXpert's 14 that the rule for CheXpert leaves free."""
EACH = 200
OTHER_IMAGE = "another image of a patient of the 5x200 subset"
"""Why an image is set aside that nobody is to train on."""


@dataclass(frozen=True)
class Subset:
    """Images set apart as a split of their own, and their patients, of whom nothing else is kept."""

    name: str = ""
    rule: str = ""
    """The published definition it follows, for the card."""
    class_of: Mapping[str, str] = field(default_factory=dict[str, str])
    """By image."""
    patients: frozenset[str] = frozenset()

    def split_of(self, image: str, patient: str, otherwise: str) -> str | None:
        """The split of an image; None if it is another image of a patient of the subset."""
        if image in self.class_of:
            return self.name
        return None if patient in self.patients else otherwise

    def card(self) -> dict[str, Any]:
        """What the card of the corpus says of it; nothing if there is no subset."""
        counts = Counter(self.class_of.values())
        classes = {task: counts[task] for task in TASKS}
        return {"subset": {"name": self.name, "rule": self.rule, "classes": classes}} if counts else {}


def name_of_5x200(seed: int, drawn_from: str = "") -> str:
    """The split's name; lists of other seeds, and GLoRIA's own, are other subsets."""
    return "-".join(["5x200", *([drawn_from] if drawn_from else []), f"seed-{seed}"])


def chexpert_5x200(candidates: Iterable[tuple[str, Mapping[str, int]]], *, seed: int) -> dict[str, str]:
    """Image -> its class: 200 images of each task alone, from frontal training images and labels in order.

    Alone: the task is present, and every other label but "no finding" absent or not stated. GLoRIA's rule,
    drawn as MGCA does (`mgca/preprocess/chexpert.py`, pandas' `sample(n=200, random_state=0)`), so that seed
    0 on the whole train.csv follows it. GLoRIA's own list was drawn without a seed and cannot be had again.
    """
    alone: dict[str, list[str]] = {task: [] for task in TASKS}
    for image, labels in candidates:
        stated = [finding for finding, state in labels.items() if state != 0 and finding != _SHARED]
        if len(stated) == 1 and stated[0] in alone and labels[stated[0]] == 1:
            alone[stated[0]].append(image)
    return _drawn(alone, seed, EACH, "frontal training images", "it is drawn from the whole train.csv")


def mimic_5x200(
    candidates: Iterable[tuple[str, str, Mapping[str, int]]], *, seed: int, at_least: int = EACH
) -> dict[str, str]:
    """Image -> its class: up to 200 images of each task, from PA and AP images, patients and labels in order.

    A patient's first image with exactly one of the five tasks present counts, unless another of the five is
    uncertain there; the other nine labels are free. The rule of DLILP (`preprocess_mimic_5x200_data`), the
    only public one, drawn as there (pandas' `sample(n=200, random_state=42)`): seed 42 on the whole set
    follows it. Where fewer than `at_least` show a task, CallError.
    """
    first: dict[str, tuple[str, Mapping[str, int]]] = {}
    for image, patient, labels in candidates:
        if sum(labels.get(task) == 1 for task in TASKS) == 1:
            first.setdefault(patient, (image, labels))
    alone: dict[str, list[str]] = {task: [] for task in TASKS}
    for image, labels in first.values():
        stated = [task for task in TASKS if labels.get(task, 0) != 0]
        if len(stated) == 1:
            alone[stated[0]].append(image)
    source = "it is drawn from the whole of MIMIC-CXR"
    return _drawn(alone, seed, at_least, "patients' first frontal images", source)


def _drawn(
    alone: Mapping[str, list[str]], seed: int, at_least: int, what: str, source: str
) -> dict[str, str]:
    """Up to 200 of each task, those that pandas' `sample` takes; CallError where there are too few."""
    for task, images in alone.items():
        if len(images) < at_least:
            raise CallError(
                f"{len(images):,} {what} show {task} alone, and the 5x200 subset takes {at_least}: {source}"
            )
    return {
        images[place]: task
        for task, images in alone.items()
        for place in np.random.RandomState(seed).permutation(len(images))[:EACH]
    }
