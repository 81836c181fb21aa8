"""ROCOv2 as a source: figures of radiology from open-access articles, and their captions.

The layout was read from openmedlab's page of the set (the files on Zenodo) and from public scripts that read
it: SPLIT_captions.csv with ID and Caption for train, valid and test; images ID.jpg, which lie in SPLIT/,
SPLIT_images/ or SPLIT_images/SPLIT/, by how SPLIT_images.zip was unpacked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medistill.data.sources.parts.cells import has_words
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading
from medistill.data.sources.parts.published import PublishedSet, check_apart, first_file, published_table
from medistill.data.sources.parts.table import Row, Table
from medistill.data.study import Reject, Study

_SPLITS = ("train", "valid", "test")
_COLUMNS = ("ID", "Caption")


@dataclass(frozen=True, kw_only=True)
class RocoSource(PublishedSet):
    """ROCOv2: 79,789 radiological figures of all kinds from articles, with their captions as the text and no
    labels. The folder holds train_captions.csv, valid_captions.csv, test_captions.csv and the images of
    train_images.zip, valid_images.zip and test_images.zip, unpacked. The split is the published one. Each
    image counts as a patient: two of one article, so maybe of one patient, can be in two splits.
    """

    name: ClassVar[str] = "roco"

    path: Path
    """The folder that holds train_captions.csv, valid_captions.csv, test_captions.csv and the unpacked
    images."""

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
        return self.reading(self._units(tables), sum(table.length for table in tables.values()))

    def _units(self, tables: dict[str, Table]) -> Iterator[Draft | Reject]:
        seen = set[str]()
        rows = ((split, row) for split, table in tables.items() for row in table.rows())
        for number, (split, row) in enumerate(rows, start=1):
            image = row.cells.get("ID", "").strip()
            yield self._unit(number, image, split, row, is_known=image in seen)
            seen.add(image)

    def _unit(self, number: int, image: str, split: str, row: Row, *, is_known: bool) -> Draft | Reject:
        if fault := row.fault or _fault(row, is_known):
            return Reject(row=number, reason=fault, path=image)
        caption = row.cells["Caption"].strip()
        study = Study(study_id=image, patient_id=image, text=caption, split=split, source=self.name)
        folders = (split, f"{split}_images", f"{split}_images/{split}")
        file = ImageFile(
            row=number,
            path=first_file([self.path / folder / f"{image}.jpg" for folder in folders]),
            name=f"{split}/{image}.jpg",
        )
        return Draft(study=study, files=(file,))


def _fault(row: Row, is_known: bool) -> str | None:
    if not row.cells["ID"].strip():
        return "no ID"
    if is_known:
        return "listed before"
    return None if has_words(row.cells["Caption"]) else "empty text"
