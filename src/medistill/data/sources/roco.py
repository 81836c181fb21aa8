"""ROCOv2 as a source: figures of radiology from open-access articles, and their captions.

The layout was read from openmedlab's page of the set (the files on Zenodo) and from public scripts that read
it: SPLIT_captions.csv with ID and Caption for train, valid and test; images ID.jpg, which lie in SPLIT/,
SPLIT_images/ or SPLIT_images/SPLIT/, by how SPLIT_images.zip was unpacked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from medistill.data.image import MAX_PIXELS
from medistill.data.sources.parts.cells import has_words
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading, image_work
from medistill.data.sources.parts.published import check_apart, first_file, published_table
from medistill.data.sources.parts.table import Row, Table
from medistill.data.study import Reject, Study

_SPLITS = ("train", "valid", "test")
_COLUMNS = ("ID", "Caption")


@dataclass(frozen=True, kw_only=True)
class RocoSource:
    """ROCOv2: 79,789 radiological figures of all kinds from articles, with their captions as the text and no
    labels. The folder holds train_captions.csv, valid_captions.csv, test_captions.csv and the images of
    train_images.zip, valid_images.zip and test_images.zip, unpacked. The split is the published one. Each
    image counts as a patient: two of one article, so maybe of one patient, can be in two splits.
    """

    name: ClassVar[str] = "roco"

    path: Path
    """The folder that holds train_captions.csv, valid_captions.csv, test_captions.csv and the unpacked
    images."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""

    def made_with(self) -> dict[str, Any]:
        return {"split": "official", "size": self.size, "max_pixels": self.max_pixels}

    def open(self) -> Reading:
        tables = {
            split: published_table(self.path, (f"{split}_captions.csv",), _COLUMNS) for split in _SPLITS
        }
        images = (
            (row.cells["ID"].strip(), split)
            for split, table in tables.items()
            for row in table.rows()
            if row.fault is None
        )
        check_apart(images, "the three tables of captions")
        return Reading(
            units=self._units(tables),
            work=image_work(self.size, self.max_pixels),
            expected=sum(table.length for table in tables.values()),
        )

    def _units(self, tables: dict[str, Table]) -> Iterator[Draft | Reject]:
        number, seen = 0, set[str]()
        for split, table in tables.items():
            for row in table.rows():
                number += 1
                image = row.cells.get("ID", "").strip()
                fault = row.fault or _fault(row, seen)
                yield (
                    Reject(row=number, reason=fault, path=image)
                    if fault
                    else self._draft(number, image, split, row.cells["Caption"].strip())
                )
                seen.add(image)

    def _draft(self, number: int, image: str, split: str, caption: str) -> Draft:
        study = Study(
            study_id=image,
            patient_id=image,
            images=(),
            text=caption,
            split=split,
            source=self.name,
        )
        folders = (split, f"{split}_images", f"{split}_images/{split}")
        file = ImageFile(
            row=number,
            path=first_file([self.path / folder / f"{image}.jpg" for folder in folders]),
            name=f"{split}/{image}.jpg",
        )
        return Draft(study=study, files=(file,))


def _fault(row: Row, seen: set[str]) -> str | None:
    image = row.cells["ID"].strip()
    if not image:
        return "no ID"
    if image in seen:
        return "listed before"
    return None if has_words(row.cells["Caption"]) else "empty text"
