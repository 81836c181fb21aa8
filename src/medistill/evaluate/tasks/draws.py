"""Which training studies a few-shot classifier is given."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int

SHOTS = (1, 4, 16)
SHARES: Mapping[str, float] = {"1%": 0.01, "10%": 0.1, "100%": 1.0}
SHARE_DRAWS = 5
"""Of each share but the whole, which can be drawn once only."""


@dataclass(frozen=True)
class Draw:
    """The training studies of one classifier: k of positive patients, then k of negative ones."""

    finding: int
    k: int
    number: int
    studies: Int[np.ndarray, " m"]


@dataclass(frozen=True)
class ClassDraw:
    """The training studies of one classifier of all classes: k patients of the first, then of the next."""

    k: int
    number: int
    studies: Int[np.ndarray, " m"]


@dataclass(frozen=True)
class ShareDraw:
    """The labeled studies of a share of the training patients, in order; one draw serves all findings."""

    share: str
    number: int
    patients: int
    studies: Int[np.ndarray, " m"]


def draw_shots(
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    findings: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> list[Draw]:
    """For each finding and k, `draws` times k positive and k negative patients, one study of each.

    A positive patient has a study labeled 1; a negative one has a study labeled 0 and none labeled 1.
    A finding with fewer than k of either is left out at that k.
    """
    drawn: list[Draw] = []
    patients = np.asarray(patient_ids, dtype=str)
    for f, finding in enumerate(findings):
        pools = _patient_pools(labels[:, f], patients)
        for k in SHOTS:
            if min(map(len, pools)) < k:
                continue
            for number in range(draws):
                generator = np.random.default_rng([seed, k, number, _number(finding)])
                studies = [study for pool in pools for study in _one_each(pool, k, generator)]
                drawn.append(Draw(f, k, number, np.array(studies, dtype=np.int64)))
    return drawn


def exclusive(labels: Float32[np.ndarray, "n f"]) -> bool:
    """Whether the findings are classes: each study with a label has one of them, and all others absent."""
    labeled = ~np.isnan(labels).all(axis=1)
    alone = ((labels == 1).sum(axis=1) == 1) & ((labels == 0).sum(axis=1) == labels.shape[1] - 1)
    return labels.shape[1] > 1 and bool(labeled.any()) and bool((alone | ~labeled).all())


def draw_classes(
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    findings: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> list[ClassDraw]:
    """For each k, `draws` times k patients of each class, one study of each.

    A patient with studies of two classes is of neither. Where a class has fewer than k there is no draw.
    """
    pools: list[dict[str, list[int]]] = [{} for _ in findings]
    for study, f in zip(*np.nonzero(labels == 1), strict=True):
        pools[f].setdefault(patient_ids[study], []).append(int(study))
    pure = [
        [np.array(pool[patient]) for patient in sorted(pool) if sum(patient in other for other in pools) == 1]
        for pool in pools
    ]
    drawn: list[ClassDraw] = []
    for k in (k for k in SHOTS if min(map(len, pure), default=0) >= k):
        for number in range(draws):
            studies = [
                study
                for finding, pool in zip(findings, pure, strict=True)
                for study in _one_each(
                    pool, k, np.random.default_rng([seed, k, number, _number(finding), len("class")])
                )
            ]
            drawn.append(ClassDraw(k, number, np.array(studies, dtype=np.int64)))
    return drawn


def draw_shares(
    labels: Float32[np.ndarray, "n f"],
    patient_ids: Sequence[str],
    findings: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> list[ShareDraw]:
    """`draws` times each share of the patients with a label, nested: 1 % is part of the 10 % of that number.

    Stratified by each patient's rarest finding (or none): of each stratum the share, rounded, at least one
    patient. All labeled studies of a drawn patient are taken.
    """
    labeled = np.isin(labels, (0, 1)).any(axis=1)
    patients, patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    present = np.zeros((len(patients), len(findings)), dtype=bool)
    np.logical_or.at(present, patient, labels == 1)
    stratum = _rarest(present, findings)
    members = np.unique(patient[labeled])
    drawn: list[ShareDraw] = []
    for number in range(draws):
        orders = [
            np.random.default_rng([seed, number, _number(name), len("share")]).permutation(
                members[stratum[members] == place]
            )
            for place, name in enumerate([*findings, ""])
        ]
        for name, share in SHARES.items():
            if share == 1 and number > 0:
                continue
            taken = np.concatenate([order[: max(1, round(share * len(order)))] for order in orders])
            studies = np.flatnonzero(labeled & np.isin(patient, taken))
            drawn.append(ShareDraw(name, number, len(taken), studies))
    return [draw for draw in drawn if len(draw.studies)]


def _rarest(present: Bool[np.ndarray, "p f"], findings: Sequence[str]) -> Int[np.ndarray, " p"]:
    """The finding fewest patients have among each patient's own; the number of findings for none."""
    count = present.sum(axis=0)
    order = np.array(sorted(range(len(findings)), key=lambda f: (count[f], findings[f])), dtype=np.int64)
    own = present[:, order]
    return np.where(own.any(axis=1), order[own.argmax(axis=1)], len(findings))


def _one_each(pool: Sequence[np.ndarray], k: int, generator: np.random.Generator) -> list[int]:
    """One study each of k patients of the pool."""
    places = generator.choice(len(pool), k, replace=False)
    return [int(generator.choice(pool[place])) for place in places]


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _patient_pools(labels: Float32[np.ndarray, " n"], patients: np.ndarray) -> tuple[list[np.ndarray], ...]:
    """Studies by patient: those labeled 1 of the positive patients, those labeled 0 of the negative ones."""
    positive: dict[str, list[int]] = {}
    negative: dict[str, list[int]] = {}
    for study in np.flatnonzero(labels == 1):
        positive.setdefault(patients[study], []).append(int(study))
    for study in np.flatnonzero(labels == 0):
        if patients[study] not in positive:
            negative.setdefault(patients[study], []).append(int(study))
    return tuple([np.array(pool[patient]) for patient in sorted(pool)] for pool in (positive, negative))
