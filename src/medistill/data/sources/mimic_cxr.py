"""MIMIC-CXR-JPG with the reports of MIMIC-CXR as a source.

Layout read: https://physionet.org/content/mimic-cxr-jpg/2.1.0/ and /mimic-cxr/2.1.0/ (Johnson et al. 2019):
tables `mimic-cxr-2.0.0-*.csv.gz`, images `files/p10/p10000032/s50414267/DICOM_ID.jpg`, reports
`files/p10/p10000032/s50414267.txt`.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from medistill.data.ids import would_match
from medistill.data.image import MAX_PIXELS
from medistill.data.report.sections import Sections, TextChoice, read_sections, training_text
from medistill.data.sources.parts.cells import date_of, view_name
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading, image_work
from medistill.data.sources.parts.labels import LabelColumns
from medistill.data.sources.parts.published import published_table
from medistill.data.sources.parts.reports import text_of
from medistill.data.sources.parts.subset import (
    EACH,
    OTHER_IMAGE,
    TASKS,
    Subset,
    mimic_5x200,
    name_of_5x200,
)
from medistill.data.sources.parts.table import Row, Table
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError, MedistillError

_TABLES = "mimic-cxr-2.0.0-"
_METADATA = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")
_SPLIT = ("study_id", "split")
_IDS = ("subject_id", "study_id")
_FRONTAL = ("PA", "AP")
_HELD_OUT = ("validate", "test")
_RULE = "DLILP's for MIMIC-CXR: one of the five tasks present; a PA or AP image a patient, the first such one"


@dataclass(frozen=True, kw_only=True)
class MimicCxrSource:
    """MIMIC-CXR-JPG 2.x: the folder with `files/` and the tables, and the tree of reports.

    The split is the official one. Labels are those of the CheXpert table, if it is there: 1, 0, -1 uncertain.
    Sex and age are not in these tables.
    """

    name: ClassVar[str] = "mimic-cxr"

    path: Path
    """The folder that holds mimic-cxr-2.0.0-split.csv.gz and `files/`."""
    reports: Path | None = None
    """The folder that holds the `files/` of mimic-cxr-reports.zip, unpacked; default: PATH."""
    text: TextChoice = "findings+impression"
    """What to train on; a report without it is set aside."""
    subset_seed: int | None = None
    """Set the MIMIC 5x200 evaluation subset drawn with this seed apart, as a split 5x200-seed-N; 42 is the
    seed of DLILP. The other images of its patients are set aside: nothing of them is to be trained on."""
    subset_from: Literal["all", "validate+test"] = "all"
    """What that subset is drawn from. For models that were trained on all of the official training split:
    validate+test, as a split 5x200-validate-test-seed-N, with fewer than 200 images where there are no
    more."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""

    def made_with(self) -> dict[str, Any]:
        made_with = {"split": "official", "subset": self._subset_name, "text": self.text}
        return made_with | {"size": self.size, "max_pixels": self.max_pixels}

    def open(self) -> Reading:
        metadata = _table(self.path, "metadata", _METADATA)
        splits = _splits(_table(self.path, "split", _SPLIT))
        labels = _Labels(self.path)
        subset = self._subset(metadata, labels)
        root = self.reports or self.path
        if not (root / "files").is_dir():
            raise CallError(
                f"no folder `files` in {root}: name the unpacked mimic-cxr-reports.zip by --reports"
            )
        return Reading(
            units=self._units(metadata, _Plan(splits, labels, subset, root, _unlisted(metadata, splits))),
            work=image_work(self.size, self.max_pixels),
            findings=labels.findings,
            expected=sum(1 for _ in _by_study(metadata)),
            notes=subset.card(),
        )

    @property
    def _subset_name(self) -> str | None:
        drawn_from = "" if self.subset_from == "all" else "-".join(_HELD_OUT)
        return None if self.subset_seed is None else name_of_5x200(self.subset_seed, drawn_from)

    def _subset(self, metadata: Table, labels: "_Labels") -> Subset:
        """Drawn in the order of the table of splits, as DLILP does."""
        if self.subset_seed is None:
            return Subset()
        _table(self.path, "chexpert", (*_IDS, *(task.title() for task in TASKS)))
        frontal = {_image(row) for row in _sound(metadata) if row.cells["ViewPosition"].strip() in _FRONTAL}
        table, whole = _table(self.path, "split", ("dicom_id", *_IDS, "split")), self.subset_from == "all"
        candidates = (
            (_image(row), row.cells["subject_id"].strip(), labels.of(row.cells["study_id"].strip()))
            for row in _sound(table)
            if _image(row) in frontal and (whole or row.cells["split"].strip() in _HELD_OUT)
        )
        chosen = mimic_5x200(candidates, seed=self.subset_seed, at_least=EACH if whole else 1)
        patients = {row.cells["subject_id"].strip() for row in _sound(table) if _image(row) in chosen}
        rule = _RULE if whole else f"{_RULE}; of {' and '.join(_HELD_OUT)} alone"
        return Subset(self._subset_name or "", rule, chosen, frozenset(patients))

    def _units(self, metadata: Table, plan: "_Plan") -> Iterator[Draft | Reject]:
        for study, group in _by_study(metadata):
            rows = list(group)
            sound = [row for row in rows if row.fault is None]
            yield from (_reject(row, str(row.fault)) for row in rows if row.fault)
            if sound:
                yield from self._of_study(sound, plan.splits.get(study), plan)

    def _of_study(self, rows: list[Row], official: str | None, plan: "_Plan") -> Iterator[Draft | Reject]:
        """One study with all its images, or why there is none, image by image."""
        if official is None:
            yield from (_reject(row, plan.unlisted) for row in rows)
            return
        subject = rows[0].cells["subject_id"].strip()
        for split, group in itertools.groupby(
            rows, lambda row: plan.subset.split_of(_image(row), subject, official)
        ):
            if split is None:
                yield from (_reject(row, OTHER_IMAGE, skipped=True) for row in group)
            else:
                yield from self._with_report(list(group), split, plan)

    def _with_report(self, rows: list[Row], split: str, plan: "_Plan") -> Iterator[Draft | Reject]:
        """Images of the subset are kept without a report: they are scored by their labels."""
        subject, study = (rows[0].cells[name].strip() for name in _IDS)
        folder = Path("files") / f"p{subject[:2]}" / f"p{subject}"
        sections, fault = Sections(), None
        try:
            sections = read_sections(_report(plan.root / folder / f"s{study}.txt"))
        except MedistillError as error:
            fault = str(error)
        text = training_text(sections, self.text)
        if not text and split != plan.subset.name:
            yield from (_reject(row, fault or "empty text") for row in rows)
            return
        record = Study(
            study_id=f"s{study}",
            patient_id=f"p{subject}",
            text=text or NO_REPORT,
            findings=sections.findings or None,
            impression=sections.impression or None,
            labels=plan.labels.of(study),
            split=split,
            date=date_of(rows[0].cells["StudyDate"]),
            source=self.name,
        )
        yield Draft(study=record, files=tuple(self._file(row, folder / f"s{study}") for row in rows))

    def _file(self, row: Row, folder: Path) -> ImageFile:
        name = f"{_image(row)}.jpg"
        return ImageFile(
            row=row.number,
            path=self.path / folder / name,
            name=(folder / name).as_posix(),
            view=view_name(row.cells["ViewPosition"]),
        )


class _Plan(NamedTuple):
    splits: dict[str, str]
    """By study."""
    labels: "_Labels"
    subset: Subset
    """Its images by dicom_id."""
    root: Path
    """Of the reports."""
    unlisted: str
    """Why an image of no split is set aside."""


def _unlisted(metadata: Table, splits: dict[str, str]) -> str:
    studies = {row.cells["study_id"] for row in _sound(metadata)}
    return f"not in the table of splits{would_match(studies, splits)}"


class _Labels:
    """The CheXpert labeler's findings by study; none if its table is not there."""

    def __init__(self, folder: Path) -> None:
        self.findings: tuple[str, ...] = ()
        self._of: dict[str, tuple[int | None, ...]] = {}
        if not any((folder / name).is_file() for name in _names("chexpert")):
            return
        table = _table(folder, "chexpert", _IDS)
        columns = LabelColumns(table, tuple(name for name in table.header if name not in _IDS), ())
        self.findings = columns.findings
        for row in _sound(table):
            stated = columns.of(row)
            self._of[row.cells["study_id"].strip()] = tuple(map(stated.get, self.findings))

    def of(self, study: str) -> dict[str, int]:
        states = zip(self.findings, self._of.get(study, ()), strict=False)
        return {finding: state for finding, state in states if state is not None}


def _by_study(metadata: Table) -> Iterator[tuple[str, Iterator[Row]]]:
    """The images of each study, which follow one another."""
    return itertools.groupby(metadata.rows(), lambda row: row.cells.get("study_id", ""))


def _splits(table: Table) -> dict[str, str]:
    """By study; `validate` is the name there."""
    return {
        row.cells["study_id"].strip(): row.cells["split"].strip()
        for row in _sound(table)
        if row.cells["split"].strip()
    }


def _sound(table: Table) -> Iterator[Row]:
    return (row for row in table.rows() if row.fault is None)


def _image(row: Row) -> str:
    return row.cells["dicom_id"].strip()


def _table(folder: Path, name: str, columns: tuple[str, ...]) -> Table:
    """As it was published, or unpacked."""
    return published_table(folder, _names(name), columns)


def _names(name: str) -> tuple[str, str]:
    return f"{_TABLES}{name}.csv.gz", f"{_TABLES}{name}.csv"


def _report(path: Path) -> str:
    try:
        return text_of(path)
    except FileNotFoundError:
        raise MedistillError("no report: its text file is not there") from None
    except (OSError, UnicodeDecodeError):
        raise MedistillError("report cannot be read as UTF-8 text") from None


def _reject(row: Row, reason: str, *, skipped: bool = False) -> Reject:
    return Reject(row=row.number, reason=reason, path=row.cells.get("dicom_id", "").strip(), skipped=skipped)
