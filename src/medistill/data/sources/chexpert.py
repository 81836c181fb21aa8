"""CheXpert as a source: images and labels, with the reports of CheXpert Plus where they are at hand.

The layout was read from mlmed/torchxrayvision (`datasets.py`: CheX_Dataset), from public scripts that quote
train.csv, name the four batches of the full download or read df_chexpert_plus_240401.csv (among them the
README of Stanford-AIMI/chexpert-plus), and from rajpurkarlab/cheXpert-test-set-labels (groundtruth.csv).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

from medistill.data.ids import would_match
from medistill.data.image import MAX_PIXELS
from medistill.data.sources.parts.cells import age_in_years, has_words, joined, sex_name, view_name
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading, image_work
from medistill.data.sources.parts.labels import LabelColumns
from medistill.data.sources.parts.paths import with_slashes
from medistill.data.sources.parts.published import check_apart, first_file, published_table
from medistill.data.sources.parts.subset import OTHER_IMAGE, Subset, chexpert_5x200, name_of_5x200
from medistill.data.sources.parts.table import Row, Table
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError

LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
_TRAIN, _VALID, _TEST = "train.csv", "valid.csv", "groundtruth.csv"
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
_REPORT_COLUMNS = ("path_to_image", "section_findings", "section_impression")
_PLACE = re.compile(r"(?:.*/)?((train|valid|test)/(patient\d+)/(study\d+))(?:/([^/]+))?")
_RULE = "GLoRIA's for CheXpert, drawn as MGCA does: frontal training images with one of 13 labels alone"
_BATCHES = "CheXpert-v1.0 batch *"  # the tables and valid/ in the first, training patients in the others


@dataclass(frozen=True, kw_only=True)
class ChexpertSource:
    """CheXpert v1.0, small or full: 224,316 radiographs with 14 labels (1, 0, -1 uncertain, empty unstated).
    The folder holds train.csv, valid.csv, train/ and valid/, or the four batches of the full download. With
    test/ and groundtruth.csv (rajpurkarlab/cheXpert-test-set-labels) beside them, the test split too. Without
    --reports the images can be evaluated on, not trained on.
    """

    name: ClassVar[str] = "chexpert"

    path: Path
    """The folder that holds train.csv, valid.csv, train/ and valid/, or the full download's batches. With
    groundtruth.csv and test/, the test split too."""
    reports: Path | None = None
    """df_chexpert_plus_240401.csv of CheXpert Plus: the reports; text is findings and impression. Images to
    train on that it has no report for are rejected. Its texts are kept in memory."""
    subset_seed: int | None = None
    """Set the 5x200 evaluation subset drawn with this seed apart, as a split 5x200-seed-N; 0 is the seed of
    MGCA. The other images of its patients are set aside: nothing of them is to be trained on."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""

    def made_with(self) -> dict[str, Any]:
        subset = None if self.subset_seed is None else name_of_5x200(self.subset_seed)
        made_with = {"split": "official", "subset": subset, "reports": self.reports is not None}
        return made_with | {"size": self.size, "max_pixels": self.max_pixels}

    def open(self) -> Reading:
        tree = _Tree(self.path)
        tables = [published_table(tree.tables, (name,), _COLUMNS) for name in (_TRAIN, _VALID)]
        if (self.path / _TEST).is_file():
            tables.append(published_table(self.path, (_TEST,), ("Study", *LABELS)))
        labels = [LabelColumns(table, LABELS, ()) for table in tables]
        check_apart(_patients(tables), "the paths in the tables")
        reports = None if self.reports is None else _reports(self.reports)
        subset = Subset() if self.subset_seed is None else _subset(tables[0], labels[0], self.subset_seed)
        return Reading(
            units=self._units(_Plan(tree, reports, subset, _unreported(tables[0], reports)), tables, labels),
            work=image_work(self.size, self.max_pixels),
            findings=labels[0].findings,
            expected=sum(table.length for table in tables),
            notes=subset.card(),
        )

    def _units(
        self, plan: "_Plan", tables: list[Table], labels: list[LabelColumns]
    ) -> Iterator[Draft | Reject]:
        """Rows are counted on from table to table."""
        number = 0
        for table, columns in zip(tables, labels, strict=True):
            for row in table.rows():
                number += 1
                if table.path.name == _TEST:
                    yield self._test_unit(number, row, columns)
                else:
                    yield self._unit(plan, number, row, columns)

    def _unit(self, plan: "_Plan", number: int, row: Row, labels: LabelColumns) -> Draft | Reject:
        path = row.cells.get("Path", "").strip()
        place = _place(path)
        if row.fault or place is None or not place.file:
            reason = row.fault or "Path is not split/patient/study/file"
            return Reject(row=number, reason=reason, path=path)
        report = (plan.reports or {}).get(place.study, _Report())
        split = plan.subset.split_of(path, place.patient, place.split)
        if split is None:
            return Reject(row=number, reason=OTHER_IMAGE, path=path, skipped=True)
        if split == "train" and plan.reports is not None and not report.text:
            return Reject(row=number, reason=plan.unreported, path=path)
        study = self._study(
            place._replace(split=split),
            labels.of(row),
            report,
            sex=sex_name(row.cells["Sex"]),
            age=age_in_years(row.cells["Age"]),
        )
        file = ImageFile(
            row=number,
            path=first_file(plan.tree.places(place, place.file)),
            name=path,
            view="lateral" if _is_lateral(row) else view_name(row.cells["AP/PA"]),
        )
        return Draft(study=study, files=(file,))

    def _test_unit(self, number: int, row: Row, labels: LabelColumns) -> Draft | Reject:
        """The images of a study, which the table of the test set does not name one by one."""
        name = row.cells.get("Study", "").strip()
        place = _place(name)
        if row.fault or place is None:
            return Reject(row=number, reason=row.fault or "Study is not split/patient/study", path=name)
        paths = sorted((self.path / place.study).glob("*.jpg"))
        if not paths:
            return Reject(row=number, reason="no image of the study", path=name)
        files = tuple(
            ImageFile(
                row=number,
                path=path,
                name=f"{place.study}/{path.name}",
                view="lateral" if "lateral" in path.stem else None,
            )
            for path in paths
        )
        return Draft(study=self._study(place, labels.of(row), _Report()), files=files)

    def _study(
        self,
        place: "_Place",
        labels: Mapping[str, int],
        report: "_Report",
        sex: str | None = None,
        age: float | None = None,
    ) -> Study:
        return Study(
            study_id=place.study,
            patient_id=place.patient,
            text=report.text or NO_REPORT,
            findings=report.findings,
            impression=report.impression,
            labels=labels,
            split=place.split,
            sex=sex,
            age=age,
            source=self.name,
        )


class _Tree:
    """Where the tables and images lie: in one folder, or in the four batches of the full download."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.batches = sorted(path.glob(_BATCHES))
        with_tables = [batch for batch in self.batches if (batch / _TRAIN).is_file()]
        self.tables = with_tables[0] if with_tables and not (path / _TRAIN).is_file() else path

    def places(self, place: "_Place", file: str) -> list[Path]:
        """Below its split's folder, there or in a batch; patients to train on may lie right in a batch."""
        inside = PurePosixPath(place.study) / file
        places = [folder / inside for folder in (self.path, *self.batches)]
        if place.split == "train":
            places += [batch / inside.relative_to("train") for batch in self.batches]
        return places


class _Place(NamedTuple):
    study: str
    """`train/patient00001/study1`."""
    split: str
    patient: str
    file: str | None


class _Plan(NamedTuple):
    tree: _Tree
    reports: "Mapping[str, _Report] | None"
    subset: Subset
    """Its images by their paths, as the table has them."""
    unreported: str
    """Why an image to train on without a report is set aside."""


class _Report(NamedTuple):
    text: str = ""
    findings: str | None = None
    impression: str | None = None


def _place(path: str) -> _Place | None:
    match = _PLACE.fullmatch(with_slashes(path))
    return _Place(match[1], match[2], match[3], match[5]) if match else None


def _unreported(table: Table, reports: "Mapping[str, _Report] | None") -> str:
    places = (_place(row.cells["Path"].strip()) for row in table.rows() if row.fault is None)
    studies = {place.study for place in places if place} if reports else set[str]()
    return f"no report in the table of --reports{would_match(studies, reports or {})}"


def _patients(tables: list[Table]) -> Iterator[tuple[str, str]]:
    for table in tables:
        for row in table.rows():
            place = _place(row.cells.get("Path", row.cells.get("Study", "")).strip())
            if place:
                yield place.patient, place.split


def _subset(table: Table, labels: LabelColumns, seed: int) -> Subset:
    frontal = (row for row in table.rows() if row.fault is None and not _is_lateral(row))
    chosen = chexpert_5x200(((row.cells["Path"].strip(), labels.of(row)) for row in frontal), seed=seed)
    patients = frozenset(place.patient for path in chosen if (place := _place(path)))
    return Subset(name_of_5x200(seed), _RULE, chosen, patients)


def _is_lateral(row: Row) -> bool:
    return row.cells["Frontal/Lateral"].strip() != "Frontal"


def _reports(path: Path) -> dict[str, _Report]:
    """By study: rows are images, and those of a study repeat its report. The first with words counts."""
    table = published_table(path.parent, (path.name,), _REPORT_COLUMNS)
    reports: dict[str, _Report] = {}
    for row in table.rows():
        place = None if row.fault else _place(row.cells["path_to_image"].strip())
        if place is None or place.study in reports:
            continue
        findings, impression = (row.cells[f"section_{name}"].strip() for name in ("findings", "impression"))
        text = joined([findings, impression])
        if text:
            reports[place.study] = _Report(
                text,
                findings if has_words(findings) else None,
                impression if has_words(impression) else None,
            )
    if not reports:
        raise CallError(
            f"no row of {path.name} names an image and says anything: is it that of CheXpert Plus?"
        )
    return reports
