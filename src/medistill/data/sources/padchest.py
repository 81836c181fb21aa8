"""PadChest as a source: images, labels and Spanish reports.

The layout was read from the publishers' README that describes each column (a copy of
auriml/Rx-thorax-automatic-captioning), from mlmed/torchxrayvision (`datasets.py`: PC_Dataset), and public
scripts that read the table: images below their ImageDir or in one folder, MethodLabel Physician or RNN_model.
"""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medistill.data.sources.parts.cells import has_words, is_missing, sex_name, view_name
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading
from medistill.data.sources.parts.published import PublishedSet, first_file, published_table
from medistill.data.sources.parts.table import Row, Table, check_ids
from medistill.data.study import Reject, Study
from medistill.errors import CallError

_TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
_IDS = ("ImageID", "StudyID", "PatientID")
_COLUMNS = (
    *_IDS,
    "ImageDir",
    "StudyDate_DICOM",
    "PatientBirth",
    "PatientSex_DICOM",
    "Projection",
    "Report",
    "MethodLabel",
    "Labels",
)
_BY_HAND = "Physician"


@dataclass(frozen=True, kw_only=True)
class PadchestSource(PublishedSet):
    """PadChest: 160,868 radiographs with Spanish reports, whose words the publishers cut to their stems, and
    labels. The folder holds PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv, unpacked, and the images as
    ImageDir/ImageID, in images/ or right there. Patients are split by hash: there is no official split. Only
    what a physician labeled, about a quarter, has labels; a label that the physician did not give is absent.
    """

    name: ClassVar[str] = "padchest"
    split: ClassVar[str] = "hash"

    path: Path
    """The folder that holds PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv, unpacked, and the
    images."""

    def open(self) -> Reading:
        table = published_table(self.path, (_TABLE,), _COLUMNS)
        check_ids(table, _IDS)
        rows = (row for row in table.rows() if row.fault is None)
        findings = tuple(sorted({label for row in rows for label in _labels(row, table) or ()}))
        units = (self._unit(row, table, findings) for row in table.rows())
        return self.reading(units, table.length, findings)

    def _unit(self, row: Row, table: Table, findings: tuple[str, ...]) -> Draft | Reject:
        name = row.cells.get("ImageID", "").strip()
        if fault := row.fault or _fault(row):
            return Reject(row=row.number, reason=fault, path=name)
        present = _labels(row, table)
        study = Study(
            study_id=row.cells["StudyID"].strip(),
            patient_id=row.cells["PatientID"].strip(),
            text=row.cells["Report"].strip(),
            labels={} if present is None else {finding: int(finding in present) for finding in findings},
            sex=sex_name(row.cells["PatientSex_DICOM"]),
            age=_age(row),
            source=self.name,
        )
        folders = (self.path / row.cells["ImageDir"].strip(), self.path / "images", self.path)
        file = ImageFile(
            row=row.number,
            path=first_file([folder / name for folder in folders]),
            name=name,
            view=view_name(row.cells["Projection"].replace("_", " ")),
        )
        return Draft(study=study, files=(file,))


def _fault(row: Row) -> str | None:
    missing = [column for column in _IDS if is_missing(row.cells[column])]
    if missing:
        return f"no {missing[0]}"
    return None if has_words(row.cells["Report"]) else "empty text"


def _labels(row: Row, table: Table) -> set[str] | None:
    """What a physician found; None if it was a network, or if the cell is empty."""
    cell = row.cells["Labels"].strip()
    if row.cells["MethodLabel"].strip() != _BY_HAND or is_missing(cell):
        return None
    try:
        listed = ast.literal_eval(cell)
        return {label.strip().lower() for label in listed} - {""}
    except (ValueError, SyntaxError, TypeError, AttributeError, RecursionError, MemoryError):
        raise CallError(
            f"column `Labels` of {table.path.name}, row {row.number}: not a list such as ['normal']"
        ) from None


def _age(row: Row) -> float | None:
    """Whole years, from the year of the study and that of birth."""
    try:
        age = float(row.cells["StudyDate_DICOM"].strip()[:4]) - float(row.cells["PatientBirth"])
    except ValueError:
        return None
    return age if 0 <= age <= 120 else None
