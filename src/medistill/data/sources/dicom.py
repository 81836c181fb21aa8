"""A tree of DICOM files joined with reports, as a source."""

import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from medistill.data.dicom.file import require_pydicom
from medistill.data.dicom.image import Frames, dicom_images
from medistill.data.image import MAX_PIXELS, Depth, Kept, kept_frames
from medistill.data.report.sections import TextChoice
from medistill.data.rule_labels.lexicon import FINDINGS
from medistill.data.sources.parts.dicom_tree import DicomFile, chosen, scanned
from medistill.data.sources.parts.draft import (
    Draft,
    ImageFile,
    Progress,
    Reading,
    check_image_options,
    finished,
    options_of,
)
from medistill.data.sources.parts.join import Identity, People, Plan, join_counts, people_of, planned
from medistill.data.sources.parts.reports import (
    CsvReports,
    Join,
    Report,
    Reports,
    TextReports,
    counted,
    drafted,
    winners,
)
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError


@dataclass(frozen=True, kw_only=True)
class DicomSource:
    """A tree of DICOM files, whatever their names, with reports in a CSV file or as text files.

    All images a report is about are one study; the patient is told by id and issuer. Structured reports,
    presentation states and the like, images FOR PROCESSING and repeated images are set aside and counted.
    """

    name: ClassVar[str] = "dicom"

    path: Path
    """The folder that holds the DICOM files."""
    reports: Path | None = None
    """CSV file with a row per report, or a folder of text files named by the key; required."""
    join: Join = "accession"
    """What reports and images have in common: accession number, study instance UID, or file name."""
    key: str | None = None
    """Column of the key; by default `accession`, `study_uid` or `file`. It may name several, as A1;A2."""
    loose_ids: bool = False
    """Join by another spelling of the key too (case, leading zeros, decimals, separators), where only one
    report and one image have it; the card counts them."""
    text: tuple[str, ...] = ("text",)
    """Column of the text to train on; several are joined as sentences."""
    status: str | None = None
    """Column that says which version is final; without one, the last version of a report is taken."""
    findings: str | None = None
    """Column of the report's findings section."""
    impression: str | None = None
    """Column of the report's impression section."""
    sections: TextChoice | None = None
    """The text is a whole report: train on these sections of it, and keep findings and impression apart."""
    rule_labels: bool = False
    """Label common findings by rules from the report, which is to be in English (docs/reports.md)."""
    patient_is_study: bool = False
    """Take every study as a patient of its own where the headers hold no patient ids."""
    follow_links: bool = False
    """Take what links lead to that lead out of the folder, too; of the folder of the reports as well."""
    for_processing: bool = False
    """Take images FOR PROCESSING too, if no processed version of them is there."""
    frames: Frames = "middle"
    """Of an image of several frames: its middle one, all, or one by its number from 1."""
    window: str | None = None
    """Explanation of the window to take, as in the header; by default the first."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    depth: Depth = 8
    """Bits of grey to store; 16 keeps more than 8 where the file has them, as PNG."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""

    def made_with(self) -> dict[str, Any]:
        # Not named where it is off, so that a corpus made before there was such a flag is known again.
        return options_of(
            self, but=("path", "reports") if self.loose_ids else ("path", "reports", "loose_ids")
        )

    def open(self) -> Reading:
        return self.scan(0)

    def scan(self, workers: int, on_progress: Progress | None = None) -> Reading:
        """`open`, with headers read in processes of their own."""
        check_image_options(self.size, self.max_pixels)
        if isinstance(self.frames, int) and self.frames < 1:
            raise CallError(f"--frames is {self.frames}; frames are counted from 1")
        if not self.path.is_dir():
            raise CallError(f"no such folder: {self.path}")
        if self.reports is None:
            raise CallError("no reports: name a CSV file, or a folder of text files, with --reports")
        require_pydicom()
        reports = self._open_reports(self.reports)
        heard = functools.partial(on_progress, "reading headers") if on_progress else None
        items = scanned(
            self.path,
            without=self.reports,
            workers=workers,
            follow_links=self.follow_links,
            on_progress=heard,
        )
        files, aside = chosen(items, for_processing=self.for_processing)
        if not files:
            raise CallError(_nothing_in(self.path, aside))
        rows = itertools.count()
        used = winners(report for report, _ in zip(reports, rows, strict=False))
        plan = planned(files, used, self.join, loose=self.loose_ids)
        people = people_of(files, self.patient_is_study)
        notes: dict[str, Any] = {"join": join_counts(plan, files, self.join)} | _unified(people)
        return Reading(
            units=counted(self._units(reports, plan, people, files, aside), notes),
            work=functools.partial(finished, store=self._stored),
            findings=FINDINGS if self.rule_labels else (),
            expected=len(aside) + next(rows) + len(files) - sum(map(len, plan.images.values())),
            notes=notes,
        )

    def _open_reports(self, path: Path) -> Reports:
        if path.is_dir():
            return TextReports(path, self.join, follow_links=self.follow_links)
        if path.suffix.lower() == ".txt":
            raise CallError(f"{path} is one text file; name the folder of the reports, or a CSV file")
        optional = {"status": self.status, "findings": self.findings, "impression": self.impression}
        return CsvReports(path, self.join, key=self.key, text=self.text, optional=optional)

    def _stored(self, data: bytes) -> Kept:
        """The frames of a file as a corpus keeps them, in whatever process."""
        images = dicom_images(
            data,
            max_pixels=self.max_pixels,
            frames=self.frames,
            window=self.window,
            for_processing=self.for_processing,
        )
        return kept_frames(images, size=self.size, depth=self.depth)

    def _units(
        self, reports: Reports, plan: Plan, people: People, files: list[DicomFile], aside: list[Reject]
    ) -> Iterator[Draft | Reject]:
        yield from aside
        for report in reports:
            yield from self._of_report(report, plan, people)
        matched = {file.row for group in plan.images.values() for file in group}
        for file in files:
            if file.row not in matched:
                yield Reject(row=file.row, reason=plan.alone, path=file.name)

    def _of_report(self, report: Report, plan: Plan, people: People) -> Iterator[Draft | Reject]:
        if reason := _unused(report, plan.images):
            yield Reject(row=report.row, reason=reason, path=";".join(report.keys), skipped=True)
            return
        files = plan.images[report.row]
        patients = {people.identity(file.header).patient_id for file in files}
        if len(patients) > 1 or "" in patients:
            reason = "no patient id" if "" in patients else "one report for images of several patients"
            yield from (Reject(row=file.row, reason=reason, path=file.name) for file in files)
            return
        try:
            yield self._draft(report, files, people.identity(files[0].header))
        except MedistillError as error:
            yield Reject(row=report.row, reason=str(error), path=";".join(report.keys))

    def _draft(self, report: Report, files: list[DicomFile], who: Identity) -> Draft:
        headers = [file.header for file in files]
        study = Study(
            study_id=who.study_id,
            patient_id=who.patient_id,
            text=report.text,
            findings=report.findings,
            impression=report.impression,
            sex=next((header.sex for header in headers if header.sex), None),
            age=next((header.age for header in headers if header.age is not None), None),
            date=who.date,
            source=self.name,
        )
        images = (
            ImageFile(row=file.row, path=self.path / file.name, name=file.name, view=file.header.view)
            for file in files
        )
        return drafted(study, tuple(images), self.sections, self.rule_labels)


def _unified(people: People) -> dict[str, Any]:
    return {"patient_ids": dict(people.unified)} if people.unified else {}


def _unused(report: Report, plan: Mapping[int, list[DicomFile]]) -> str | None:
    if report.fault:
        return report.fault
    if not report.keys:
        return "report without a key"
    if not report.text:
        return "empty text"
    if report.row not in plan:
        return "report of which a later or final version is taken"
    return None if plan[report.row] else "no image goes with the report"


def _nothing_in(root: Path, aside: list[Reject]) -> str:
    if not aside:
        return f"no files in {root}"
    reason, count = Counter(reject.reason for reject in aside).most_common(1)[0]
    return f"no DICOM image to take in {root}: of {len(aside):,} files {count:,} are set aside: {reason}"
