"""COVIDx CXR as a source: images and a class, no reports.

The layout was read from lindawangg/COVID-Net (`docs/COVIDx.md` and the lists in `labels/`: patient, file,
class and source on a line) and from public scripts that read the set as it is on Kaggle
(andyczhao/covidx-cxr2): train.txt, test.txt and, since CXR-4, val.txt, each beside the folder of its name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from medistill.data.sources.parts.draft import Draft, ImageFile, Reading
from medistill.data.sources.parts.published import PublishedSet, published_text
from medistill.data.study import Reject, Study
from medistill.errors import CallError

FINDINGS = ("covid-19", "other pneumonia", "normal")
_CLASSES = {
    "positive": {"covid-19": 1},
    "negative": {"covid-19": 0},
    "COVID-19": {"covid-19": 1, "other pneumonia": 0, "normal": 0},
    "pneumonia": {"covid-19": 0, "other pneumonia": 1, "normal": 0},
    "normal": {"covid-19": 0, "other pneumonia": 0, "normal": 1},
}
"""Of the lists of two classes and of those of three."""
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class CovidxSource(PublishedSet):
    """COVIDx CXR-2 to CXR-4: radiographs of many sources labeled COVID-19 or not, or as COVID-19, other
    pneumonia or normal, without reports. To evaluate on, not to train on. The folder holds train.txt,
    test.txt and, if the release has one, val.txt, with the images in train/, test/ and val/. Patients are
    told by source and id. Of one who is in two lists, the images in the later of train, val and test are
    kept.
    """

    name: ClassVar[str] = "covidx"

    path: Path
    """The folder that holds train.txt, test.txt, val.txt if the release has one, and the folders of these
    names."""

    def open(self) -> Reading:
        rows = [row for split in _SPLITS for row in _rows(self.path, split)]
        stated = {finding for row in rows for finding in row.labels}
        findings = tuple(finding for finding in FINDINGS if finding in stated)
        return self.reading(self._units(rows), len(rows), findings)

    def _units(self, rows: list["_Row"]) -> Iterator[Draft | Reject]:
        split_of = {row.patient: row.split for row in rows}  # the last list that names the patient
        seen = set[str]()
        for number, row in enumerate(rows, start=1):
            if row.name in seen:
                yield Reject(row=number, reason="listed before", path=row.name)
            elif row.split != split_of[row.patient]:
                reason = f"the patient is in {split_of[row.patient]}.txt too"
                yield Reject(row=number, reason=reason, path=row.name, skipped=True)
            else:
                yield self._draft(number, row)
            seen.add(row.name)

    def _draft(self, number: int, row: "_Row") -> Draft:
        study = Study(
            study_id=row.name, patient_id=row.patient, labels=row.labels, split=row.split, source=self.name
        )
        return Draft(study=study, files=(ImageFile(row=number, path=self.path / row.name, name=row.name),))


class _Row(NamedTuple):
    split: str
    patient: str
    name: str
    """`train/file.png`."""
    labels: dict[str, int]


def _rows(folder: Path, split: str) -> Iterator[_Row]:
    """The lines of a list; of val.txt none if it is not there."""
    name = f"{split}.txt"
    if split == "val" and not (folder / name).is_file():
        return
    for number, line in enumerate(published_text(folder, name).splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) < 4 or cells[-2] not in _CLASSES:
            raise CallError(
                f"{name}, line {number}: not a patient, a file, one of {', '.join(_CLASSES)}, and a source; "
                "take it as it was published"
            )
        patient, *file, kind, source = cells  # a name may have spaces in it
        yield _Row(split, f"{source} {patient}", f"{split}/{' '.join(file)}", _CLASSES[kind])
