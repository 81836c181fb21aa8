"""The SIIM-ACR Pneumothorax Segmentation challenge as a source: images and masks, no reports.

The layout was read from mlmed/torchxrayvision (`datasets.py`: SIIM_Pneumothorax_Dataset, whose masks are runs
in a frame of 1024 x 1024), from GLoRIA and MGCA (`preprocess_pneumothorax_data`), and, for stage 2, public
notebooks that read stage_2_train.csv.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medistill.data.sources.parts.draft import Draft, Reading
from medistill.data.sources.parts.marked import MarkedFile
from medistill.data.sources.parts.published import PublishedSet, published_table, sound_rows, split_70_15_15
from medistill.data.sources.parts.table import Table
from medistill.data.study import Reject, Study
from medistill.errors import CallError

FRAME = 1024
FINDING = "pneumothorax"
SEED = 0
_TABLES = ("stage_2_train.csv", "train-rle.csv")
_NONE = "-1"
_SUFFIXES = (".dcm", ".png", ".jpg")


@dataclass(frozen=True, kw_only=True)
class SiimSource(PublishedSet):
    """SIIM-ACR Pneumothorax Segmentation 2019: frontal radiographs labeled pneumothorax, with masks, without
    reports. To evaluate on, not to train on. The folder holds stage_2_train.csv or train-rle.csv, and the
    images anywhere below it, each named by its ImageId. The set tells no patients apart: each image counts as
    one. They are split 70/15/15 with seed 0, the shares and the seed of GLoRIA, MGCA and CXR-CLIP, but by
    image: there, the masks of one image can be in two splits.
    """

    name: ClassVar[str] = "siim"
    split: ClassVar[str] = f"image-70-15-15-seed-{SEED}"

    path: Path
    """The folder that holds stage_2_train.csv or train-rle.csv and, somewhere below, the images."""

    def open(self) -> Reading:
        runs = _runs(published_table(self.path, _TABLES, ("ImageId", "EncodedPixels")))
        split_of, images = split_70_15_15(runs, seed=SEED), _images(self.path)
        units = (
            self._unit(number, image, marks, split_of[image], images.get(image))
            for number, (image, marks) in enumerate(runs.items(), start=1)
        )
        return self.reading(units, len(runs), (FINDING,))

    def _unit(
        self, number: int, image: str, marks: tuple[str, ...], split: str, path: Path | None
    ) -> Draft | Reject:
        if path is None:
            return Reject(row=number, reason="no such image file", path=image)
        labels, runs = {FINDING: int(bool(marks))}, {FINDING: marks} if marks else {}
        study = Study(study_id=image, patient_id=image, labels=labels, split=split, source=self.name)
        file = MarkedFile(row=number, path=path, name=image, frame=FRAME, runs=runs)
        return Draft(study=study, files=(file,))


def _runs(table: Table) -> dict[str, tuple[str, ...]]:
    """The masks of each image, a row each, in the order of the table; none where there is no pneumothorax."""
    runs: dict[str, tuple[str, ...]] = {}
    for row in sound_rows(table):
        image, mask = row.cells["ImageId"].strip(), row.cells["EncodedPixels"].strip()
        if not mask:
            raise CallError(
                f"{table.path.name}, row {row.number}: neither a mask nor -1; take it as published"
            )
        runs[image] = runs.get(image, ()) + (() if mask == _NONE else (mask,))
    return runs


def _images(folder: Path) -> dict[str, Path]:
    """Image files below the folder by the name before their suffix; a DICOM file goes before a copy of it."""
    images: dict[str, Path] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if path.suffix in _SUFFIXES:
                known = images.get(path.stem)
                if known is None or _rank(path) < _rank(known):
                    images[path.stem] = path
    return images


def _rank(path: Path) -> tuple[int, str]:
    return _SUFFIXES.index(path.suffix), str(path)
