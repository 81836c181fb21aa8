"""The Indiana University chest radiographs (Open-i) as a source.

Layout read: https://openi.nlm.nih.gov/faq, NLMCXR_reports.tgz (`ecgen-radiology/1.xml`, ...) and
NLMCXR_png.tgz (`CXR1_1_IM-0001-3001.png`, ..., one folder); Demner-Fushman et al., JAMIA 2016.
"""

import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from defusedxml import ElementTree

from medistill.data.image import MAX_PIXELS
from medistill.data.report.cleaning import clean
from medistill.data.report.sections import Sections, TextChoice, training_text
from medistill.data.rule_labels.labels import label_sections
from medistill.data.rule_labels.lexicon import FINDINGS
from medistill.data.sources.parts.cells import has_words
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading, image_work
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError
from medistill.system.files import read_regular, walk

ARCHIVE = "NLMCXR_reports.tgz"
LARGEST = 1_000_000
"""Bytes of a report that is still read; the largest published has 9 kB."""


@dataclass(frozen=True, kw_only=True)
class OpeniSource:
    """The Indiana University collection: its PNG images and XML reports anywhere below one folder.

    The reports may stay in NLMCXR_reports.tgz. A report is a study and a patient of its own: the collection
    has one report of each patient. Views are left empty, since it does not say which image is which. The
    labels are read from the reports by rules (docs/reports.md); there is no official split.
    """

    name: ClassVar[str] = "openi"

    path: Path
    """The folder with the PNG files, and the XML files or NLMCXR_reports.tgz."""
    text: TextChoice = "findings+impression"
    """What to train on; a report without it is set aside."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""

    def made_with(self) -> dict[str, Any]:
        return {"text": self.text, "size": self.size, "max_pixels": self.max_pixels}

    def open(self) -> Reading:
        if not self.path.is_dir():
            raise CallError(f"no such folder: {self.path}")
        files = _files(self.path)
        if not files.images:
            raise CallError(f"no PNG files in {self.path}: unpack NLMCXR_png.tgz there")
        if not files.reports and files.archive is None:
            raise CallError(f"no XML files in {self.path}: put {ARCHIVE} there, packed or not")
        return Reading(
            units=self._units(files),
            work=image_work(self.size, self.max_pixels),
            findings=FINDINGS,
            expected=len(files.reports) or None,
        )

    def _units(self, files: "_Files") -> Iterator[Draft | Reject]:
        """Reports in the order of their names, then the images that no report names."""
        left, number = dict(files.images), 0
        for number, (name, item) in enumerate(_reports(files), start=1):
            if isinstance(item, OpeniReport):
                yield self._unit(number, name, item, files)
                for image in item.images:
                    left.pop(image, None)
            else:
                yield Reject(row=number, reason=str(item), path=name)
        for row, path in enumerate(left.values(), start=number + 1):
            yield Reject(row=row, reason="no report names the image", path=path.name)

    def _unit(self, number: int, name: str, report: "OpeniReport", files: "_Files") -> Draft | Reject:
        sections = cleaned_sections(report)
        text = training_text(sections, self.text)
        if not text:
            return Reject(row=number, reason="empty text", path=name)
        if not report.images:
            return Reject(row=number, reason="report names no image", path=name)
        study = Study(
            study_id=report.uid,
            patient_id=report.uid,
            text=text,
            findings=sections.findings or None,
            impression=sections.impression or None,
            labels=label_sections(sections),
            source=self.name,
        )
        images = [(f"{image}.png", files.images.get(image)) for image in report.images]
        return Draft(
            study=study,
            files=tuple(
                ImageFile(row=number, path=path or self.path / name, name=name) for name, path in images
            ),
        )


@dataclass(frozen=True, kw_only=True)
class OpeniReport:
    """What the XML says, its words as they are: `XXXX` stands where it was de-identified."""

    uid: str
    """`CXR1`."""
    findings: str
    impression: str
    indication: str
    comparison: str
    mesh: tuple[str, ...]
    """Terms with qualifiers by people, as `Opacity/lung/base/left`; `normal` alone, or `No Indexing`."""
    automatic: tuple[str, ...]
    """Terms found by a program."""
    images: tuple[str, ...]
    """Ids in the order of the figures: `CXR1_1_IM-0001-3001` is the file of that name and `.png`."""


@dataclass(frozen=True)
class _Files:
    """Where the files of the collection are: images by id, reports by name."""

    images: dict[str, Path]
    reports: dict[str, Path]
    archive: Path | None


def reports_in(archive: Path) -> Iterator[tuple[str, OpeniReport | MedistillError]]:
    """Names and reports of NLMCXR_reports.tgz, not unpacked; an error in place of one that cannot be read."""
    try:
        with tarfile.open(archive) as files:
            for member in files:
                if member.isfile() and member.name.lower().endswith(".xml"):
                    # One byte more than is accepted, so that a member of any size is refused and not read.
                    file = files.extractfile(member)
                    data = file.read(LARGEST + 1) if file else b""
                    yield Path(member.name).name, _parsed(data)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise MedistillError(f"{archive} is broken or cut short: fetch it again") from error


def read_report(path: Path) -> OpeniReport:
    """The report in an XML file as published in NLMCXR_reports.tgz."""
    try:
        data = read_regular(path, LARGEST + 1)
    except OSError as error:
        raise MedistillError(f"report cannot be read: {error.strerror}") from None
    return parse_report(data)


def parse_report(data: bytes) -> OpeniReport:
    """The report in the bytes of an XML file; every failure is one line that quotes nothing from it."""
    if len(data) > LARGEST:
        raise MedistillError(f"report is larger than {LARGEST:,} bytes: not one of the collection")
    try:
        root = ElementTree.fromstring(data, forbid_dtd=True)  # no report has one
    except Exception as error:  # half a dozen types: broken XML, a DTD, encodings unknown or not kept to
        raise MedistillError("report is not XML that can be read (broken, or with a DTD)") from error
    uid = root.find("uId")
    if root.tag != "eCitation" or uid is None or not uid.get("id", "").strip():
        raise MedistillError("XML is not a report of the collection: no eCitation with a uId")
    said = dict[str, str]()
    for part in root.iter("AbstractText"):
        said.setdefault(part.get("Label", "").upper(), part.text or "")
    return OpeniReport(
        uid=uid.get("id", "").strip(),
        findings=said.get("FINDINGS", ""),
        impression=said.get("IMPRESSION", ""),
        indication=said.get("INDICATION", ""),
        comparison=said.get("COMPARISON", ""),
        mesh=_filled(term.text for term in root.iter("major")),
        automatic=_filled(term.text for term in root.iter("automatic")),
        images=_filled(image.get("id") for image in root.iter("parentImage")),
    )


def cleaned_sections(report: OpeniReport) -> Sections:
    """What the report says as `read_sections` would give it: without marks of de-identification."""
    return Sections(
        findings=_cleaned(report.findings),
        impression=_cleaned(report.impression),
        indication=_cleaned(report.indication),
        comparison=_cleaned(report.comparison),
    )


def _reports(files: _Files) -> Iterator[tuple[str, OpeniReport | MedistillError]]:
    if not files.reports and files.archive is not None:
        yield from reports_in(files.archive)
    for name, path in sorted(files.reports.items()):
        try:
            yield name, read_report(path)
        except MedistillError as error:
            yield name, error


def _parsed(data: bytes) -> OpeniReport | MedistillError:
    try:
        return parse_report(data)
    except MedistillError as error:
        return error


def _files(root: Path) -> _Files:
    images, reports, archive = dict[str, Path](), dict[str, Path](), None
    for folder, names, outside in walk(root):
        # A published set has its names, so that a link to a file of it is taken wherever that lies.
        for path in (folder / name for name in sorted([*names, *outside])):
            if path.suffix.lower() == ".png":
                images.setdefault(path.stem, path)
            elif path.suffix.lower() == ".xml":
                reports.setdefault(path.name, path)
            elif path.name == ARCHIVE:
                archive = archive or path
    return _Files(images, reports, archive)


def _cleaned(text: str) -> str:
    cleaned = clean(text)
    return cleaned if has_words(cleaned) else ""


def _filled(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text and text.strip())
