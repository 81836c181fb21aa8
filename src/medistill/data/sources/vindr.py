"""VinDr-CXR as a source: images, labels and boxes by radiologists, no reports.

The layout was read from a dozen public scripts that read vindr-cxr 1.0.0 as it is on PhysioNet: annotations/
with four tables, train/ and test/ with image_id.dicom, `Other diseases` in the table to train on and `Other
disease` in the one to test on, no coordinates in the rows of `No finding`. Boxes are corners in pixels of the
DICOM files, which have many sizes.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from medistill.data.sources.parts.draft import Draft, Reading
from medistill.data.sources.parts.marked import Boxes, MarkedFile
from medistill.data.sources.parts.published import (
    PublishedSet,
    box_numbers,
    check_apart,
    integer_label,
    published_table,
    sound_rows,
)
from medistill.data.sources.parts.table import Table
from medistill.data.study import Study
from medistill.errors import CallError

_LOCAL = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
)
_NONE = "no finding"
_GLOBAL = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "No finding")
_OTHER = {"train": "Other diseases", "test": "Other disease"}
FINDINGS = tuple(name.lower() for name in (*_LOCAL, *_GLOBAL, _OTHER["train"]))
_CORNERS = ("x_min", "y_min", "x_max", "y_max")


@dataclass(frozen=True, kw_only=True)
class VindrSource(PublishedSet):
    """VinDr-CXR 1.0.0: 18,000 PA radiographs with 28 labels and boxes by radiologists, without reports. To
    evaluate on, not to train on. The folder holds annotations/, train/ and test/. Of the three radiologists
    who read an image of the training set, any one is enough for a finding, as in CXR-CLIP, and all must agree
    on `no finding`; their boxes are kept side by side. The test set is labeled by consensus. The set tells no
    patients apart: each image counts as one.
    """

    name: ClassVar[str] = "vindr"

    path: Path
    """The folder that holds annotations/, train/ and test/."""

    def made_with(self) -> dict[str, Any]:
        readers = "any of three to train on, consensus to test on"
        return {"split": self.split, "readers": readers} | super().made_with()

    def open(self) -> Reading:
        labels = {
            split: _labels(self._table("image_labels", split, _columns(split)), split) for split in _OTHER
        }
        images = [(image, split) for split, stated in labels.items() for image in stated]
        check_apart(images, "the two tables of labels")
        columns = ("image_id", "class_name", *_CORNERS)
        boxes = {split: _boxes(self._table("annotations", split, columns)) for split in _OTHER}
        units = (
            self._draft(number, image, split, labels[split][image], boxes[split].get(image, {}))
            for number, (image, split) in enumerate(images, start=1)
        )
        return self.reading(units, len(images), FINDINGS)

    def _table(self, name: str, split: str, columns: tuple[str, ...]) -> Table:
        return published_table(self.path / "annotations", (f"{name}_{split}.csv",), columns)

    def _draft(self, number: int, image: str, split: str, labels: dict[str, int], boxes: Boxes) -> Draft:
        study = Study(study_id=image, patient_id=image, labels=labels, split=split, source=self.name)
        name = f"{split}/{image}.dicom"
        file = MarkedFile(row=number, path=self.path / name, name=name, view="PA", frame=None, boxes=boxes)
        return Draft(study=study, files=(file,))


def _columns(split: str) -> tuple[str, ...]:
    return ("image_id", *_LOCAL, *_GLOBAL, _OTHER[split])


def _labels(table: Table, split: str) -> dict[str, dict[str, int]]:
    """By image, of which there is a row for each of its readers."""
    columns = dict(zip(FINDINGS, _columns(split)[1:], strict=True))
    readings: dict[str, list[set[str]]] = defaultdict(list)
    for row in sound_rows(table):
        present = {finding for finding, column in columns.items() if integer_label(row, column, table)}
        readings[row.cells["image_id"].strip()].append(present)
    twice = sum(len(several) > 1 for several in readings.values()) if split == "test" else 0
    if twice:
        raise CallError(f"{twice:,} image(s) are in {table.path.name} more than once: take it as published")
    return {image: _together(several) for image, several in readings.items()}


def _together(readings: list[set[str]]) -> dict[str, int]:
    """What any reader found; no finding where all found none."""
    named, agreed = set[str]().union(*readings), readings[0].intersection(*readings)
    return {finding: int(finding in (agreed if finding == _NONE else named)) for finding in FINDINGS}


def _boxes(table: Table) -> dict[str, Boxes]:
    """By image, those of all its readers."""
    boxes: dict[str, dict[str, tuple[float, ...]]] = defaultdict(dict)
    for row in sound_rows(table):
        finding = row.cells["class_name"].strip().lower()
        if finding not in FINDINGS:
            raise CallError(
                f"column `class_name` of {table.path.name}, row {row.number}: none of the published findings"
            )
        if finding != _NONE:
            known = boxes[row.cells["image_id"].strip()]
            known[finding] = (*known.get(finding, ()), *box_numbers(row, _CORNERS, table))
    return dict(boxes)
