"""What a check of a corpus found, and how rows are named where it is written down."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt64

Severity = Literal["error", "warning", "note"]
LISTED = 1000
"""Cases of one flag whose rows are written down; the count is always of all."""
CHECKS: Mapping[str, str] = {
    "patients": "Patients across splits",
    "studies": "Studies across splits",
    "identical_images": "Identical images across splits",
    "near_identical_images": "Near-identical across splits",
    "alike_images": "Much alike across splits",
    "shared_texts": "Same text across splits",
    "unreadable_images": "Unreadable images",
    "blank_images": "Blank images",
    "faint_images": "Images of hardly any contrast",
    "inverted_images": "Inverted-looking images",
    "tiny_images": "Tiny images",
    "image_metadata": "Metadata in image files",
    "empty_texts": "Empty texts",
    "cut_texts": "Texts cut in mid-sentence",
    "rows_in_texts": "Rows of a table in texts",
    "long_texts": "Texts a recipe would cut",
    "markup": "Markup in texts",
    "labels": "Label balance",
    "identifiers": "Identifiers in texts, possibly",
    "identifying_ids": "Patient ids like names",
}
"""Every check by its name in check.json, in the order they are shown in, and its title."""
MARKS: Mapping[str, tuple[str, str]] = {
    "error": ("✗ error", "bold red"),
    "warning": ("! warning", "yellow"),
    "note": ("· note", ""),
    "clear": ("✓ clear", "green"),
    "one split": ("- one split", "dim"),
}
"""State of a check -> how it is marked, and its style in a terminal."""
ACROSS = ("patients", "studies", "identical_images", "near_identical_images", "alike_images", "shared_texts")
"""The checks that compare splits, and say nothing of a corpus with one."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One thing a check found."""

    check: str
    """A name in CHECKS."""
    severity: Severity
    """`error`: a leak or an unreadable image, the corpus must not be used so. `note`: no action needed."""
    said: str
    """One line for people, without anything of a patient."""
    count: int
    """Cases in all."""
    splits: tuple[str, ...] = ()
    """Where, if not in the whole corpus."""
    cases: tuple[tuple[int, ...], ...] = ()
    """The rows of each case, row numbers of the corpus; at most LISTED."""
    figures: Mapping[str, float | int | str] = field(default_factory=dict[str, float | int | str])


def flag_of_rows(
    check: str,
    said: str,
    rows: Int64[np.ndarray, " m"],
    *,
    severity: Severity = "warning",
    figures: Mapping[str, float | int | str] | None = None,
) -> Flag:
    """A flag whose cases are single rows."""
    return Flag(
        check=check,
        severity=severity,
        said=said,
        count=len(rows),
        cases=listed(rows[:, None]),
        figures=dict(figures or {}),
    )


def row_id(study_id: str) -> str:
    """A name for a row's study that does not show the study's own id.

    The salt is fixed, so that two checks name it alike: whoever holds a list of candidate ids can still
    find out which was meant. It keeps ids out of sight, it does not make them anonymous.
    """
    return hashlib.sha256(f"medistill checked study:{study_id}".encode()).hexdigest()[:16]


def hashed(value: str | bytes) -> int:
    """64 bits of a value, to find equal ones by."""
    data = value.encode() if isinstance(value, str) else value
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def hashes(values: Iterable[str]) -> UInt64[np.ndarray, " n"]:
    return np.fromiter((hashed(value) for value in values), np.uint64)


def groups_of_equals(
    keys: UInt64[np.ndarray, " n"], rows: Int64[np.ndarray, " n"]
) -> list[Int64[np.ndarray, " m"]]:
    """The rows of each key, keys in ascending order and rows in the order given."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order][:1]))
    return np.split(rows[order], starts[1:]) if len(rows) else []


def listed(cases: Iterable[Sequence[int] | np.ndarray]) -> tuple[tuple[int, ...], ...]:
    """The first cases as a flag keeps them."""
    kept: list[tuple[int, ...]] = []
    for case in cases:
        if len(kept) == LISTED:
            break
        kept.append(tuple(int(row) for row in case))
    return tuple(kept)
