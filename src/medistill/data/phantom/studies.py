"""Drawn chest radiographs with reports: the corpus that comes built in."""

import datetime
from collections.abc import Iterator
from itertools import count as counting
from itertools import islice

import numpy as np

from medistill.data.phantom.anatomy import random_anatomy
from medistill.data.phantom.film import expose, random_exposure
from medistill.data.phantom.findings import FINDINGS
from medistill.data.phantom.history import course
from medistill.data.phantom.prompts import PROMPTS
from medistill.data.phantom.report import report
from medistill.data.study import Study
from medistill.errors import CallError

__all__ = ["FINDINGS", "PROMPTS", "VERSION", "phantom_patient", "phantom_studies"]
VERSION = 1
SMALLEST, LARGEST = 64, 512
LATERAL = 0.12
"""Share of studies with a lateral view beside the frontal one."""


def phantom_patient(seed: int, index: int, *, size: int = 64) -> tuple[Study, ...]:
    """The one to three studies of patient `index`, oldest first; the same on every machine and in any order.

    `size` (pixels, 64 to 512) changes the sampling and the grain, never what is drawn or said.
    """
    if not SMALLEST <= size <= LARGEST:
        raise CallError(
            f"phantoms have {SMALLEST} to {LARGEST} pixels a side, not {size}: choose a size between"
        )
    if seed < 0 or index < 0:
        raise CallError(f"seed {seed} and patient {index} must not be negative: count both from 0")
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((VERSION, seed, index))))
    female, age = bool(random.random() < 0.5), 20.0 + int(70 * random.random() ** 0.8)
    anatomy = random_anatomy(random, female=female, age=age)
    date = datetime.date(2100, 1, 1) + datetime.timedelta(days=int(36500 * random.random()))
    studies: list[Study] = []
    for number, episode in enumerate(course(random), start=1):
        intubated = episode.labels["endotracheal tube"] == 1
        portable = random.random() < (0.7 if intubated else 0.3)
        views = ["AP" if portable else "PA"] + ["lateral"] * (random.random() < LATERAL)
        films = [random_exposure(random, view) for view in views]
        findings, impression = report(episode, random)
        studies.append(
            Study(
                study_id=f"s{index:07d}-{number}",
                patient_id=f"p{index:07d}",
                images=tuple(expose(anatomy, episode.findings, film, size) for film in films),
                text=f"{findings} {impression}",
                findings=findings,
                impression=impression,
                labels=episode.labels,
                sex="F" if female else "M",
                age=age,
                date=date,
                source="phantom",
            )
        )
        date += datetime.timedelta(days=1 + int(200 * random.random() ** 3))
    return tuple(studies)


def phantom_studies(count: int, *, seed: int = 0, size: int = 64) -> Iterator[Study]:
    """Exactly `count` studies, of patients 0, 1, 2 and so on; the last patient may be cut short."""
    patients = (phantom_patient(seed, index, size=size) for index in counting())
    return islice((study for patient in patients for study in patient), count)
