"""Which split a patient belongs to, by a hash of the patient's id."""

import hashlib
from collections.abc import Sequence

from medistill.data.ids import KnownIds
from medistill.errors import CallError

_NAMES = {
    "training": "train",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}


def split_name(name: str) -> str:
    """`train`, `val` or `test` for the names in use (training, valid, validation, dev, testing, any case)."""
    name = name.strip().lower()
    return _NAMES.get(name, name)


def hashed_split(patient_id: str, *, val: float, test: float) -> str:
    """The same patient always lands in the same split, whatever else is in the corpus and in what order.

    Of a patient with several spellings (`data.ids`) give the first, so that all of them land in one.
    """
    place = _place(patient_id, "split")
    if place < test:
        return "test"
    return "val" if place < test + val else "train"


def validation_patients(patient_ids: Sequence[str], fraction: float = 0.1) -> set[str]:
    """The patients to validate on, cut from a training split; one at least, never all.

    All spellings of a patient go by the place of the first.
    """
    known = KnownIds()
    first = {patient: known.first(patient) for patient in patient_ids}
    # A salt of its own: the test split was cut by the other one, so its survivors are not uniform there.
    ordered = sorted(set(first.values()), key=lambda patient: (_place(patient, "validation"), patient))
    if len(ordered) < 2:
        raise CallError(
            f"the train split holds {len(ordered)} patient(s): at least 2 are needed to validate on one"
        )
    chosen = {patient for patient in ordered[:-1] if _place(patient, "validation") < fraction} or {ordered[0]}
    return {patient for patient, by in first.items() if by in chosen}


def fold_of(patient_id: str, folds: int) -> int:
    """Which of so many equal parts the patient is of, 0..folds - 1."""
    return int(_place(patient_id, "fold") * folds)


def fold_split(patient_id: str, *, fold: int, folds: int, val: float) -> str:
    """The patient's split where `fold` is tested on; `val` is the share of the other patients to validate on.

    Those to validate on are of the fold after it, and of further ones only where that has too few. So what is
    chosen by one split's validation rests on patients of the next fold, and on hardly any of the others.
    """
    behind = (fold_of(patient_id, folds) - fold) % folds
    if not behind:
        return "test"
    within = _place(patient_id, "fold") * folds % 1
    return "val" if behind - 1 + within < val * (folds - 1) else "train"


def check_fractions(val: float, test: float) -> None:
    if not (0 <= val <= 1 and 0 <= test <= 1 and val + test <= 1):
        raise CallError(f"val {val:g} and test {test:g} must be fractions from 0 to 1 that sum to at most 1")


def _place(patient_id: str, salt: str) -> float:
    """Uniform in [0, 1) over patients."""
    digest = hashlib.sha256(f"medistill {salt}:{patient_id}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
