"""Image files with reports as text files beside them, as a source."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from medistill.data.image import MAX_PIXELS, Depth
from medistill.data.report.sections import TextChoice
from medistill.data.rule_labels.lexicon import FINDINGS
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading, image_work, options_of
from medistill.data.sources.parts.reports import counted, drafted, report_text
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError
from medistill.system.files import LEADS_OUT, walk
from medistill.system.shown import written

_IMAGES = {".png", ".jpg", ".jpeg", ".dcm"}


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A folder of images with reports.

    Either each image has a text file of the same name beside it, or each study has a folder of its own that
    holds its images and one text file. The first folder below PATH is the patient: `patient/study/...`.
    """

    name: ClassVar[str] = "folder"

    path: Path
    """The folder that holds the patients' folders."""
    patient_is_study: bool = False
    """Take every study as a patient of its own where the folders do not tell patients apart."""
    follow_links: bool = False
    """Take what links lead to that lead out of the folder, too."""
    sections: TextChoice | None = None
    """The text is a whole report: train on these sections of it, and keep findings and impression apart."""
    rule_labels: bool = False
    """Label common findings by rules from the report, which is to be in English (docs/reports.md)."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""
    depth: Depth = 8
    """Bits of grey to store; 16 keeps more than 8 where the file has them, as PNG."""

    def made_with(self) -> dict[str, Any]:
        return options_of(self)

    def open(self) -> Reading:
        if not self.path.is_dir():
            raise CallError(f"no such folder: {self.path}")
        items = list(_studies(self.path, self.follow_links))
        paired = [item for item in items if isinstance(item, _StudyFiles)]
        if not paired:
            raise CallError(_nothing_in(self.path, items))
        if not self.patient_is_study:
            _check_patients(paired)
        notes = dict[str, Any]()
        return Reading(
            units=counted((self._unit(item) for item in items), notes),
            work=image_work(self.size, self.max_pixels, self.depth),
            findings=FINDINGS if self.rule_labels else (),
            expected=len(items),
            notes=notes,
        )

    def _unit(self, item: "_StudyFiles | Reject") -> Draft | Reject:
        if isinstance(item, Reject):
            return item
        try:
            text = report_text(self.path / item.report)
            if not text:
                raise MedistillError("empty text")
            study = self._study(item, text)
            return drafted(study, item.files, self.sections, self.rule_labels)
        except MedistillError as error:
            return Reject(row=item.files[0].row, reason=str(error), path=item.report)

    def _study(self, item: "_StudyFiles", text: str) -> Study:
        study = written("/".join(item.place)) or "study"
        patient = study if self.patient_is_study else written(item.place[0])
        return Study(study_id=study, patient_id=patient, text=text, source=self.name)


@dataclass(frozen=True)
class _StudyFiles:
    """A study's files; `place` is its path below the root, without the suffix of an image."""

    place: tuple[str, ...]
    files: tuple[ImageFile, ...]
    report: str


def _studies(root: Path, follow_links: bool) -> Iterator[_StudyFiles | Reject]:
    """Studies and leftovers in the order of their paths.

    Rows count the image and text files, and the links that are not followed, from 1.
    """
    row = 0
    for folder, names, outside in walk(root, follow_links=follow_links):
        inside = folder.relative_to(root)
        for name in outside:
            row += 1
            yield Reject(row=row, reason=LEADS_OUT, path=(inside / name).as_posix())
        kept = [name for name in names if Path(name).suffix.lower() in {*_IMAGES, ".txt"}]
        files = [
            ImageFile(row=row + number, path=folder / name, name=(inside / name).as_posix())
            for number, name in enumerate(kept, start=1)
        ]
        row += len(files)
        images = [file for file in files if file.path.suffix.lower() in _IMAGES]
        reports = {file.path.stem: file for file in files if file.path.suffix.lower() == ".txt"}
        yield from _paired(inside.parts, images, reports)


def _paired(
    place: tuple[str, ...], images: list[ImageFile], reports: dict[str, ImageFile]
) -> Iterator[_StudyFiles | Reject]:
    """One study if the folder holds a single report for its images, else a study per report."""
    if len(reports) == 1 and images and {image.path.stem for image in images} != set(reports):
        yield _StudyFiles(place, tuple(images), next(iter(reports.values())).name)
        return
    for name in sorted({image.path.stem for image in images} | set(reports)):
        files = tuple(image for image in images if image.path.stem == name)
        report = reports.get(name)
        if files and report:
            yield _StudyFiles((*place, name), files, report.name)
        elif report:
            yield Reject(row=report.row, reason="no image goes with the report", path=report.name)
        else:
            for image in files:
                yield Reject(
                    row=image.row, reason="no report: no text file goes with the image", path=image.name
                )


def _check_patients(studies: list[_StudyFiles]) -> None:
    fix = (
        "Arrange the files as patient/study/..., or let every study be its own patient by --patient-is-study"
    )
    risk = "images of one patient could then land in two splits, and every figure would be too good"
    rootless = sum(len(item.place) < 2 for item in studies)
    if rootless:
        raise CallError(
            f"{rootless:,} studies lie directly in the folder, so their patients are unknown: {risk}. {fix}"
        )
    patients = Counter(item.place[0] for item in studies)
    pairs = all(len(item.place) == 2 == len(PurePosixPath(item.report).parts) for item in studies)
    if pairs and max(patients.values()) == 1:
        raise CallError(f"every folder holds one study, so it may be a patient or a study: {risk}. {fix}")
    if len(patients) == 1 < len(studies):
        raise CallError(
            f"all {len(studies):,} studies lie below one folder, "
            "as if of one patient: name that folder itself"
        )


def _nothing_in(root: Path, left: list[_StudyFiles | Reject]) -> str:
    if left and all(isinstance(item, Reject) and item.reason == LEADS_OUT for item in left):
        return f"nothing in {root} but {len(left):,} of this: {LEADS_OUT}"
    if left:
        return f"no image in {root} has a report: a .txt file of its name, or one .txt in the study's folder"
    suffixes = Counter(Path(name).suffix.lower() for _, _, names in os.walk(root) for name in names)
    seen = ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in suffixes.most_common(3))
    return f"no PNG, JPEG or DICOM (.dcm) files in {root}; it holds {seen or 'no files'}"
