"""NIH ChestX-ray14 as a source: images, labels and some boxes, no reports.

The layout was read from PyHealth's test of its ChestXray14Dataset, which quotes rows of the table, and from a
dozen public scripts that read the set: the header of BBox_List_2017.csv, ages such as 058Y in the first
release, the lists as the mirror alkzar90/NIH-Chest-X-ray-dataset has them. Boxes are in pixels of the images,
which are published in 1024 x 1024.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medistill.data.ids import would_match
from medistill.data.sources.parts.cells import sex_name, view_name
from medistill.data.sources.parts.draft import Draft, Reading
from medistill.data.sources.parts.marked import Boxes, MarkedFile
from medistill.data.sources.parts.published import (
    PublishedSet,
    check_apart,
    first_file,
    listed_names,
    published_file,
    published_table,
)
from medistill.data.sources.parts.records import records
from medistill.data.sources.parts.table import Row, Table
from medistill.data.study import Reject, Study, age_with_unit
from medistill.errors import CallError, MedistillError

FRAME = 1024
FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "effusion",
    "infiltration",
    "mass",
    "nodule",
    "pneumonia",
    "pneumothorax",
    "consolidation",
    "edema",
    "emphysema",
    "fibrosis",
    "pleural thickening",
    "hernia",
)
_NONE, _OTHER_NAMES = "no finding", {"infiltrate": "infiltration"}  # the latter in the list of boxes only
_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
_SEX = ("Patient Gender", "Patient Sex")  # of the first release and of the one of 2020
_BOXES = "BBox_List_2017.csv"


@dataclass(frozen=True, kw_only=True)
class Nih14Source(PublishedSet):
    """NIH ChestX-ray14: 112,120 frontal radiographs with 14 labels, without reports. To evaluate on, not to
    train on. The folder holds Data_Entry_2017_v2020.csv, train_val_list.txt and test_list.txt (the official
    split, by patient), BBox_List_2017.csv if boxes are wanted, and the images in images/ or in
    images_001/images/ to images_012/images/.
    """

    name: ClassVar[str] = "nih14"

    path: Path
    """The folder that holds Data_Entry_2017_v2020.csv, train_val_list.txt, test_list.txt, the images and, for
    boxes, BBox_List_2017.csv."""

    def open(self) -> Reading:
        table = published_table(self.path, _TABLES, _COLUMNS)
        split_of = _official_split(self.path)
        rows = (row for row in table.rows() if row.fault is None)
        check_apart(_patients(rows, split_of, table), " and ".join(_LISTS))
        path = self.path / _BOXES
        boxes = _boxes(path) if path.is_file() else {}
        folders = [self.path / "images", *sorted(self.path.glob("images_0*/images"))]
        unlisted = f"in neither {' nor '.join(_LISTS)}{would_match(_names(table), split_of)}"
        units = (_unit(row, split_of, boxes, folders, unlisted) for row in table.rows())
        return self.reading(units, table.length, FINDINGS)


def _official_split(folder: Path) -> dict[str, str]:
    names = {split: listed_names(published_file(folder, (name,))) for name, split in _LISTS.items()}
    both = names["train"] & names["test"]
    if both:
        raise CallError(
            f"{len(both):,} image(s) are in {' and '.join(_LISTS)}: take both as they were published"
        )
    return {name: split for split, listed in names.items() for name in listed}


def _patients(rows: Iterator[Row], split_of: Mapping[str, str], table: Table) -> Iterator[tuple[str, str]]:
    """Patient and split of each row that will be used; CallError at a finding that was never published."""
    for row in rows:
        unknown = _present(row) - {*FINDINGS, _NONE}
        if unknown:
            raise CallError(
                f"column `Finding Labels` of {table.path.name}, row {row.number}: "
                "not the names of the 14 published findings"
            )
        name = row.cells["Image Index"].strip()
        if name in split_of:
            yield row.cells["Patient ID"].strip(), split_of[name]


def _names(table: Table) -> Iterator[str]:
    return (row.cells["Image Index"].strip() for row in table.rows() if row.fault is None)


def _unit(
    row: Row,
    split_of: Mapping[str, str],
    boxes: Mapping[str, Boxes],
    folders: list[Path],
    unlisted: str,
) -> Draft | Reject:
    name = row.cells.get("Image Index", "").strip()
    if row.fault:
        return Reject(row=row.number, reason=row.fault, path=name)
    if name not in split_of:
        return Reject(row=row.number, reason=unlisted, path=name)
    present = _present(row)
    study = Study(
        study_id=Path(name).stem,
        patient_id=row.cells["Patient ID"].strip(),
        labels={finding: int(finding in present) for finding in FINDINGS},
        split=split_of[name],
        sex=sex_name(next((row.cells[column] for column in _SEX if column in row.cells), "")),
        age=age_in_years(row.cells["Patient Age"]),
        source=Nih14Source.name,
    )
    file = MarkedFile(
        row=row.number,
        path=first_file([folder / name for folder in folders]),
        name=name,
        view=view_name(row.cells["View Position"]),
        frame=FRAME,
        boxes=boxes.get(name, {}),
    )
    return Draft(study=study, files=(file,))


def age_in_years(cell: str) -> float | None:
    """From `58`, `058Y`, `018 M`; those above 120 are slips of the pen."""
    return age_with_unit(re.sub(r"\s+(?=[a-z]$)", "", cell.strip(), flags=re.IGNORECASE), oldest=120)


def _present(row: Row) -> set[str]:
    return {_finding(name) for name in row.cells["Finding Labels"].split("|")}


def _finding(name: str) -> str:
    plain = name.strip().lower().replace("_", " ")
    return _OTHER_NAMES.get(plain, plain)


def _boxes(path: Path) -> dict[str, Boxes]:
    """By image. Cells are told by their place: the header has `Bbox [x,y,w,h]` and three nameless columns."""
    boxes: dict[str, dict[str, tuple[float, ...]]] = defaultdict(dict)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, (cells, fault) in enumerate(records(file)):
                if fault:
                    raise ValueError
                if number:
                    finding, (x, y, width, height) = _finding(cells[1]), map(float, cells[2:6])
                    if finding not in FINDINGS:
                        raise ValueError
                    known = boxes[cells[0].strip()]
                    known[finding] = (*known.get(finding, ()), x, y, x + width, y + height)
    except (OSError, ValueError, IndexError):
        raise MedistillError(
            f"{path.name} is not a table of image, finding, x, y, width and height: take it as it was "
            "published, or out of the folder"
        ) from None
    return dict(boxes)
