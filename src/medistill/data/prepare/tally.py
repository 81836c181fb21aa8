"""What a corpus being written holds so far: counts, hash, consistency."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from medistill.data.ids import KnownIds
from medistill.data.split import hashed_split, split_name
from medistill.data.study import Study
from medistill.errors import CallError

_STATES = {1: "present", 0: "absent", -1: "uncertain"}


class Tally:
    """Turns studies into rows of the corpus, giving each a split, and counts them."""

    def __init__(self, findings: tuple[str, ...], *, val: float, test: float) -> None:
        self.findings = findings
        self.images = 0
        self._fractions = {"val": val, "test": test}
        self._images: Counter[str] = Counter()
        self._labels: dict[str, Counter[tuple[str, int]]] = {}
        self._split_of: dict[str, str] = {}
        self._patient_of: dict[str, str] = {}
        self._patients = KnownIds()
        self._split_of_first: dict[str, str] = {}
        self._torn_patients: set[str] = set()
        self._torn_spellings: set[str] = set()
        self._shared_studies: set[str] = set()
        self._hash = hashlib.sha256()

    def rows(self, study: Study) -> Iterator[dict[str, Any]]:
        """One row per image of the study, not yet counted."""
        patient = self._patients.first(study.patient_id)
        split = split_name(study.split) if study.split else hashed_split(patient, **self._fractions)
        return _rows(study, split)

    def count(self, row: dict[str, Any], digest: bytes) -> None:
        """Add a row, given with its `row_digest`: patients, studies, labels, hash."""
        split, study, patient = row["split"], row["study_id"], row["patient_id"]
        first = self._patients.first(patient)
        if self._split_of_first.setdefault(first, split) != split:
            self._torn_spellings.add(first)
        if self._split_of.setdefault(patient, split) != split:
            self._torn_patients.add(patient)
        if self._patient_of.setdefault(study, patient) != patient:
            self._shared_studies.add(study)
        self.images += 1
        self._images[split] += 1
        counts = self._labels.setdefault(split, Counter())
        counts.update((finding, state) for finding, state in row["labels"].items() if state is not None)
        self._hash.update(digest)

    def check(self) -> None:
        if self._torn_patients:
            raise CallError(
                f"{len(self._torn_patients):,} patient(s) are in two splits by the source's own `split`: "
                "give every row of a patient one split, or leave the split out to have patients split by hash"
            )
        if self._shared_studies:
            raise CallError(
                f"{len(self._shared_studies):,} study id(s) belong to more than one patient: "
                "make study ids unique over the whole source"
            )

    def card(self) -> dict[str, Any]:
        """Totals, counts per split, and the content hash: equal for equal rows in equal order."""
        studies = Counter(self._split_of[patient] for patient in self._patient_of.values())
        patients = Counter(self._split_of.values())
        splits = {
            split: {
                "images": self._images[split],
                "studies": studies[split],
                "patients": patients[split],
                "findings": self._finding_counts(split),
            }
            for split in sorted(self._images, key=_split_order)
        }
        totals = {"images": self.images, "studies": len(self._patient_of), "patients": len(self._split_of)}
        ids: dict[str, Any] = {"patient_ids": unified} if (unified := self._patients.card()) else {}
        if self._torn_spellings:  # not refused: whether they are one patient is for people to say
            ids["patient_ids"] |= {"in_two_splits": len(self._torn_spellings)}
        card = {"findings": list(self.findings), **totals, "splits": splits, "sha256": self._hash.hexdigest()}
        return card | ids

    def _finding_counts(self, split: str) -> dict[str, dict[str, int]]:
        counts = self._labels[split]
        return {
            finding: {name: counts[finding, state] for state, name in _STATES.items()}
            for finding in self.findings
        }


def _rows(study: Study, split: str) -> Iterator[dict[str, Any]]:
    for image in study.images:
        yield {
            "study_id": study.study_id,
            "patient_id": study.patient_id,
            "split": split,
            "image": image.image,
            "view": image.view,
            "sex": study.sex,
            "age": study.age,
            "date": study.date,
            "text": study.text,
            "findings": study.findings,
            "impression": study.impression,
            "labels": dict(study.labels),
            "boxes": {finding: list(box) for finding, box in image.boxes.items()},
            "mask": dict(image.masks),
            "source": study.source,
        }


def row_digest(row: dict[str, Any]) -> bytes:
    """Hash of all that a row holds."""
    files = [row["image"], *(row["mask"][finding] for finding in sorted(row["mask"]))]
    rest = {name: value for name, value in row.items() if name != "image"} | {"mask": sorted(row["mask"])}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode())
    for file in files:
        digest.update(hashlib.sha256(file).digest())
    return digest.digest()


def _split_order(split: str) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(split) if split in order else len(order), split)
