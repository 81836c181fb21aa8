"""The RSNA Pneumonia Detection Challenge as a source: images, classes and boxes, no reports.

The layout was read from GLoRIA and MGCA (`preprocess_pneumonia_data`), from
mlmed/torchxrayvision, and, for the mapping to NIH, from public scripts that join `img_id` to `subset_img_id`.
Boxes are x, y, width, height in pixels of the images, which are all 1024 x 1024.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from medistill.data.ids import would_match
from medistill.data.sources.parts.draft import Draft, Reading
from medistill.data.sources.parts.marked import MarkedFile
from medistill.data.sources.parts.published import (
    PublishedSet,
    box_numbers,
    first_file,
    integer_label,
    published_table,
    sound_rows,
    split_70_15_15,
)
from medistill.data.sources.parts.table import Row, Table
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError

FRAME = 1024
FINDINGS = ("pneumonia", "no finding")
SEED = 0
_LABELS, _CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
_CORNER = ("x", "y", "width", "height")
_IMAGES = "stage_2_train_images"
_MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_CLASS_NAMES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")


@dataclass(frozen=True, kw_only=True)
class RsnaSource(PublishedSet):
    """RSNA Pneumonia Detection Challenge 2018: 26,684 frontal radiographs labeled pneumonia (any box) and no
    finding (class Normal), without reports. To evaluate on, not to train on. The folder holds
    stage_2_train_labels.csv, stage_2_detailed_class_info.csv and stage_2_train_images/. They are split
    70/15/15 with seed 0, as GLoRIA, MGCA and CXR-CLIP do it. The images come from ChestX-ray14, several of a
    patient, and that split does not keep them together: with pneumonia-challenge-dataset-mappings_2018.json
    of RSNA in the folder, the patients are those of ChestX-ray14, and each is in one split.
    """

    name: ClassVar[str] = "rsna"

    path: Path
    """The folder that holds stage_2_train_labels.csv, stage_2_detailed_class_info.csv, stage_2_train_images/
    and, to keep patients in one split, pneumonia-challenge-dataset-mappings_2018.json."""

    def made_with(self) -> dict[str, Any]:
        by = "nih-patient" if (self.path / _MAPPING).is_file() else "gloria"
        return super().made_with() | {"split": f"{by}-70-15-15-seed-{SEED}"}

    def open(self) -> Reading:
        boxes = _boxes(published_table(self.path, (_LABELS,), ("patientId", *_CORNER, "Target")))
        classes = _classes(published_table(self.path, (_CLASSES,), ("patientId", "class")))
        path = self.path / _MAPPING
        patient_of = _nih_patients(path, boxes) if path.is_file() else {image: image for image in boxes}
        split_of = split_70_15_15(set(patient_of.values()), seed=SEED)
        absent = f"not in {_CLASSES}{would_match(boxes, classes)}"
        units = (
            self._unit(number, image, boxes[image], classes.get(image, absent), patient, split_of[patient])
            for number, (image, patient) in enumerate(patient_of.items(), start=1)
        )
        return self.reading(units, len(patient_of), FINDINGS)

    def _unit(
        self, row: int, image: str, box: tuple[float, ...], kind: str, patient: str, split: str
    ) -> Draft | Reject:
        if kind not in _CLASS_NAMES:
            return Reject(row=row, reason=kind, path=image)
        labels = {"pneumonia": int(bool(box)), "no finding": int(kind == "Normal")}
        study = Study(study_id=image, patient_id=patient, labels=labels, split=split, source=self.name)
        places = [self.path / _IMAGES / f"{image}{suffix}" for suffix in (".dcm", ".png", ".jpg")]
        file = MarkedFile(
            row=row,
            path=first_file(places),
            name=f"{_IMAGES}/{image}",
            frame=FRAME,
            boxes={"pneumonia": box} if box else {},
        )
        return Draft(study=study, files=(file,))


def _boxes(table: Table) -> dict[str, tuple[float, ...]]:
    """By image in the order of the table, a row per box; no number for an image without one."""
    boxes: dict[str, tuple[float, ...]] = {}
    for row in sound_rows(table):
        image = row.cells["patientId"].strip()
        boxes.setdefault(image, ())
        if integer_label(row, "Target", table):
            boxes[image] += _box(row, table)
    return boxes


def _box(row: Row, table: Table) -> tuple[float, ...]:
    x, y, width, height = box_numbers(row, _CORNER, table)
    return (x, y, x + width, y + height)


def _classes(table: Table) -> dict[str, str]:
    """By image; its rows repeat the class once a box."""
    classes: dict[str, set[str]] = defaultdict(set)
    for row in sound_rows(table):
        kind = row.cells["class"].strip()
        if kind not in _CLASS_NAMES:
            raise CallError(
                f"column `class` of {table.path.name}, row {row.number}: none of the three classes"
            )
        classes[row.cells["patientId"].strip()].add(kind)
    several = sum(len(kinds) > 1 for kinds in classes.values())
    if several:
        raise CallError(f"{several:,} image(s) have two classes in {table.path.name}: take it as published")
    return {image: next(iter(kinds)) for image, kinds in classes.items()}


def _nih_patients(path: Path, images: Iterable[str]) -> dict[str, str]:
    """Image -> patient of ChestX-ray14, from the name of the image there, such as 00000013_005.png."""
    try:
        pairs = [(entry["subset_img_id"], entry["img_id"]) for entry in json.loads(path.read_text("utf-8"))]
        patients = {image: f"nih {int(name.partition('_')[0])}" for image, name in pairs}
        return {image: patients[image] for image in images}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise MedistillError(
            f"{path.name} does not say which image of ChestX-ray14 each one is: take it as published, "
            "or out of the folder"
        ) from None
