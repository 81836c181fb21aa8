"""The Indiana University chest radiographs (Open-i) as a source.

Layout read: https://openi.nlm.nih.gov/faq, NLMCXR_reports.tgz (`ecgen-radiology/1.xml`, ...) and
NLMCXR_png.tgz (`CXR1_1_IM-0001-3001.png`, ..., one folder), or the same images as JPEG, with a table of their
views; Demner-Fushman et al., JAMIA 2016.
"""

import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, ClassVar

from defusedxml import ElementTree

from medistill.data.image import MAX_PIXELS
from medistill.data.report.cleaning import clean
from medistill.data.report.sections import Sections, TextChoice, training_text
from medistill.data.rule_labels.labels import label_sections
from medistill.data.rule_labels.lexicon import FINDINGS
from medistill.data.sources.parts.cells import has_words, view_name
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading, image_work
from medistill.data.sources.parts.mesh import CODED, coded_labels
from medistill.data.sources.parts.table import Table
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError
from medistill.system.files import read_regular, walk

ARCHIVE = "NLMCXR_reports.tgz"
_IMAGES = (".png", ".jpg", ".jpeg")
LARGEST = 1_000_000
"""Bytes of a report that is still read; the largest published has 9 kB."""


@dataclass(frozen=True, kw_only=True)
class OpeniSource:
    """The Indiana University collection: its PNG or JPEG images and XML reports anywhere below one folder.

    The reports may stay in NLMCXR_reports.tgz. A report is a study and a patient of its own: the collection
    has one report of each patient. Views are those of a CSV file with columns `image` and `view` among the
    images, else empty, since the collection does not say which image is which. The labels are read from the
    reports by rules (docs/reports.md); beside them stands what people coded, as `mesh: cardiomegaly`. There
    is no official split.
    """

    name: ClassVar[str] = "openi"

    path: Path
    """The folder with the PNG or JPEG files, and the XML files or NLMCXR_reports.tgz."""
    reports: Path | None = None
    """Where the XML files or NLMCXR_reports.tgz are, if not there; those of other images are skipped."""
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
        if self.reports is not None and not self.reports.is_dir():
            raise CallError(
                f"--reports takes the folder of the XML files or of {ARCHIVE}: {self.reports} is none"
            )
        files = _files(self.path, self.reports)
        if not files.images:
            raise CallError(f"no PNG files in {self.path}, nor JPEG: unpack NLMCXR_png.tgz there")
        if not files.reports and files.archive is None:
            where = self.reports or self.path
            raise CallError(f"no XML files in {where}: put {ARCHIVE} there, packed or not, or name --reports")
        return Reading(
            units=self._units(files),
            work=image_work(self.size, self.max_pixels),
            findings=(*FINDINGS, *CODED),
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
        if self.reports and not any(image in files.images for image in report.images):
            return Reject(row=number, reason="none of the report's images is here", path=name, skipped=True)
        study = Study(
            study_id=report.uid,
            patient_id=report.uid,
            text=text,
            findings=sections.findings or None,
            impression=sections.impression or None,
            labels=label_sections(sections) | coded_labels(report.mesh),
            source=self.name,
        )
        return Draft(study=study, files=tuple(self._image(number, image, files) for image in report.images))

    def _image(self, number: int, image: str, files: "_Files") -> ImageFile:
        path = files.images.get(image, self.path / f"{image}.png")
        return ImageFile(row=number, path=path, name=path.name, view=files.views.get(image))


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
    """Ids in the order of the figures: `CXR1_1_IM-0001-3001` is a file of that name, `.png` or `.jpg`."""


@dataclass(frozen=True)
class _Files:
    """Where the files of the collection are: images by id, with the views of some, and reports by name."""

    images: dict[str, Path]
    views: dict[str, str]
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


def _files(root: Path, beside: Path | None) -> _Files:
    """What lies below the folder, and the reports below the other one."""
    images, reports, tables, archive = dict[str, Path](), dict[str, Path](), list[Path](), None
    for path in [*_below(root), *(_below(beside) if beside else ())]:
        kind = path.suffix.lower()
        if kind == ".xml":
            reports.setdefault(path.name, path)
        elif path.name == ARCHIVE:
            archive = archive or path
        elif path.is_relative_to(root):
            if kind in _IMAGES and (kind == ".png" or path.stem not in images):
                images[path.stem] = path
            tables += [path] if kind == ".csv" else []
    views = {image: view for table in tables for image, view in _views(table) if image in images}
    return _Files(images, views, reports, archive)


def _below(root: Path) -> Iterator[Path]:
    # A published set has its names, so that a link to a file of it is taken wherever that lies.
    for folder, names, outside in walk(root):
        yield from (folder / name for name in sorted([*names, *outside]))


def _views(path: Path) -> Iterator[tuple[str, str]]:
    """Images and their views by a table, if it is one of them."""
    try:
        table = Table(path, known=("image", "view"))
    except CallError:  # some other file: the images are the set, whatever lies beside them
        return
    if not {"image", "view"} <= {*table.header}:
        return
    for row in table.rows():
        cell = row.cells.get("view", "").strip()
        view = view_name(cell) or (cell.lower() if cell.lower() == "frontal" else None)
        if row.fault is None and view:
            yield PurePath(row.cells["image"].strip()).stem, view


def _cleaned(text: str) -> str:
    cleaned = clean(text)
    return cleaned if has_words(cleaned) else ""


def _filled(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text and text.strip())
