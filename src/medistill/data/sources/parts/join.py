"""Images and reports brought together by what both name, and images by their patient."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from medistill.data.dicom.header import DicomHeader
from medistill.data.ids import by_group, kinds_of, near_misses
from medistill.data.sources.parts.dicom_tree import DicomFile
from medistill.data.sources.parts.reports import Join, keys_of

ALONE = "no report goes with the image"


@dataclass(frozen=True)
class Identity:
    """What says who and when; empty where the header does not say."""

    study_id: str
    patient_id: str
    date: datetime.date | None


def identity(header: DicomHeader, patient_is_study: bool) -> Identity:
    """The one place where identifiers of a header become those of a corpus."""
    study = header.study_uid or header.accession or header.sop_uid
    # A backslash cannot be part of either: no two people share "issuer\\id".
    patient = f"{header.issuer}\\{header.patient_id}" if header.issuer else header.patient_id
    who = study if patient_is_study else patient if header.patient_id else ""
    return Identity(study, who, header.date)


@dataclass(frozen=True)
class People:
    """The patients of some images: all spellings of an id, and one without its issuer, are one patient."""

    patient_is_study: bool
    first: Mapping[str, str] = field(default_factory=dict[str, str])
    """By spelling, the one that the first image of the patient has."""
    unified: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How many spellings were taken for another one, for the card."""

    def identity(self, header: DicomHeader) -> Identity:
        who = identity(header, self.patient_is_study)
        return Identity(who.study_id, self.first.get(who.patient_id, who.patient_id), who.date)


def people_of(files: Iterable[DicomFile], patient_is_study: bool) -> People:
    """The patients that the headers tell apart."""
    if patient_is_study:
        return People(patient_is_study)
    spellings = [identity(file.header, patient_is_study).patient_id for file in files]
    known = by_group(filter(None, spellings))
    first: dict[str, str] = {}
    for spelling in filter(None, spellings):
        first.setdefault(known.first(spelling), spelling)
    return People(
        patient_is_study, {name: first[known.first(name)] for name in set(spellings) - {""}}, known.card()
    )


@dataclass(frozen=True)
class Plan:
    """Which images go with which report."""

    images: Mapping[int, list[DicomFile]]
    """For each row of the reports that is used, its images in order."""
    loose: int = 0
    """Keys of reports that were taken for another spelling of an image's."""
    alone: str = ALONE
    """Why the other images are set aside."""


def planned(files: list[DicomFile], rows: dict[int, list[str]], join: Join, *, loose: bool) -> Plan:
    """An image goes with the first row that names it.

    loose   also by another spelling of a key, where one key of the reports and one of the images have it
    """
    by_key: dict[str, list[DicomFile]] = defaultdict(list)
    for file in files:
        for key in _keys(file, join):
            by_key[key].append(file)
    near = near_misses((key for keys in rows.values() for key in keys), by_key)
    if loose:
        by_key |= {key: by_key[other] for key, other in near.items()}
    taken: set[int] = set()
    images: dict[int, list[DicomFile]] = {}
    for row, keys in rows.items():
        group = {file.row: file for key in keys for file in by_key.get(key, ()) if file.row not in taken}
        taken |= group.keys()
        images[row] = [group[number] for number in sorted(group)]
    if loose:
        return Plan(images, len(near))
    left = {file.row for file in files} - taken
    return Plan(images, alone=_alone(left, by_key, near))


def _alone(left: set[int], by_key: Mapping[str, list[DicomFile]], near: Mapping[str, str]) -> str:
    """Why an image has no report, with how many would have one if spellings did not count."""
    would = left & {file.row for other in near.values() for file in by_key[other]}
    if not would:
        return ALONE
    counted = f"{len(would):,} of {len(left):,} such images would match"
    return f"{ALONE}; {counted} if {kinds_of(near)} were ignored (--loose-ids)"


def _keys(file: DicomFile, join: Join) -> set[str]:
    if join == "accession":
        return set(keys_of(file.header.accession, join))
    if join == "study":
        return {file.header.study_uid} - {""}
    path = PurePosixPath(file.name)
    return {file.name, path.name, path.stem, path.with_suffix("").as_posix()}


def join_counts(plan: Plan, files: list[DicomFile], join: Join) -> dict[str, Any]:
    """The join in figures, for the card; which file or report each was is in the list of rejects."""
    groups = [group for group in plan.images.values() if group]
    matched = [file.header for group in groups for file in group]
    views = Counter(header.view for header in matched)
    return {
        "by": join,
        "matched_studies": len(groups),
        "matched_images": len(matched),
        "images_without_report": len(files) - len(matched),
        "reports_without_image": len(plan.images) - len(groups),
        "reports_of_several_keys": sum(len({header.accession for header in _headers(g)}) > 1 for g in groups),
        "images_without_view": views[None],
        "images_with_burned_in_annotation": sum(header.burned_in is True for header in matched),
        "images_with_warnings": sum(header.warnings > 0 for header in matched),
        **({"matched_by_another_spelling": plan.loose} if plan.loose else {}),
    }


def _headers(group: list[DicomFile]) -> list[DicomHeader]:
    return [file.header for file in group]
