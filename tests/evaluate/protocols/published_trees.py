"""A tiny data set for each kind of source that protocols are for, in its published layout."""

import csv
import io
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medistill.data.prepare import prepare
from medistill.data.sources import (
    ChexpertSource,
    CovidxSource,
    CsvSource,
    MimicCxrSource,
    Nih14Source,
    OpeniSource,
    PadchestSource,
    PhantomSource,
    RsnaSource,
    SiimSource,
    Source,
    VindrSource,
)
from medistill.data.sources.chexpert import LABELS as CHEXPERT_LABELS
from medistill.data.sources.nih14 import FINDINGS as NIH14_FINDINGS
from medistill.data.sources.parts.subset import TASKS
from tests.data.sources.test_chexpert import HEADER as CHEXPERT
from tests.data.sources.test_chexpert import write_table
from tests.data.sources.test_mimic_cxr import METADATA as MIMIC
from tests.data.sources.test_mimic_cxr import write_table as write_packed
from tests.data.sources.test_nih14 import HEADER as NIH14
from tests.data.sources.test_openi import report
from tests.data.sources.test_padchest import HEADER as PADCHEST
from tests.data.sources.test_padchest import TABLE as PADCHEST_TABLE
from tests.data.sources.test_vindr import CORNERS as VINDR_CORNERS
from tests.data.sources.test_vindr import LABELS as VINDR
from tests.dicoms import dicom

SIDE = 16
TASK_IMAGES = 205
"""Images a class that the 5x200 subset is drawn from."""
STATED = ("cardiomegaly", "pleural effusion", "pneumothorax", "consolidation", "edema")
MARK = "Secret"
"""In each report, and in nothing that may stand on a page."""


def picture(number: int, kind: str = "PNG") -> bytes:
    """A small noise image that no other number gives."""
    file = io.BytesIO()
    Image.fromarray(noise(number)).save(file, kind)
    return file.getvalue()


def noise(number: int) -> np.ndarray:
    return np.random.default_rng([1, number]).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


def write_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(number, "JPEG" if path.suffix == ".jpg" else "PNG"))


def present_in(number: int, findings: Sequence[str], share: float = 0.4) -> set[str]:
    """Which findings case `number` shows, at random."""
    drawn = np.random.default_rng([2, number]).random(len(findings)) < share
    return {finding for finding, shown in zip(findings, drawn, strict=True) if shown}


def sentences(number: int) -> tuple[str, str]:
    """Findings and impression of a report that 32 numbers share."""
    shown = present_in(number % 32, STATED)
    said = [f"There is {name}." if name in shown else f"There is no {name}." for name in STATED]
    return " ".join(said), f"{MARK} impression {number % 32}."


def task_of(number: int) -> str:
    return TASKS[number // TASK_IMAGES]


def chexpert(root: Path) -> Source:
    """Enough images of each task alone, two a patient; some uncertain; a validation set and the test set."""
    numbers = itertools.count()

    def row(place: str, stated: Sequence[str], lateral: bool = False) -> tuple[str, ...]:
        file = f"{place}/{'view2_lateral' if lateral else 'view1_frontal'}.jpg"
        write_picture(root / file, next(numbers))
        view = ("Lateral", "") if lateral else ("Frontal", "AP")
        return (f"CheXpert-v1.0-small/{file}", "Male", "50", *view, *stated)

    train: list[tuple[str, ...]] = []
    for number in range(len(TASKS) * TASK_IMAGES):
        said = {task_of(number): "1.0", "fracture": "0.0"}
        place = f"train/patient{10000 + number // 2}/study{number % 2 + 1}"
        train.append(row(place, [said.get(label.lower(), "") for label in CHEXPERT_LABELS]))
    for number in range(10):
        train.append(row(f"train/patient{20000 + number}/study1", ["-1.0"] * len(CHEXPERT_LABELS)))
    cells = [
        [str(float(label in present_in(number, CHEXPERT_LABELS))) for label in CHEXPERT_LABELS]
        for number in range(160)
    ]
    valid = [row(f"valid/patient{64500 + n}/study1", stated) for n, stated in enumerate(cells[:40])]
    test = [
        (f"CheXpert-v1.0/test/patient{64741 + n // 2}/study{n % 2 + 1}", *stated)
        for n, stated in enumerate(cells[40:])
    ]
    for number, (place, *_) in enumerate(test):
        folder = root / place.removeprefix("CheXpert-v1.0/")
        write_picture(folder / "view1_frontal.jpg", next(numbers))
        if number % 4 == 0:
            write_picture(folder / "view2_lateral.jpg", next(numbers))
    write_table(root / "train.csv", CHEXPERT, train)
    write_table(root / "valid.csv", CHEXPERT, valid)
    write_table(root / "groundtruth.csv", ("Study", *CHEXPERT_LABELS), test)
    reports = root / "df_chexpert_plus_240401.csv"
    said = [
        (path.removeprefix("CheXpert-v1.0-small/"), *sentences(n), "-") for n, (path, *_) in enumerate(train)
    ]
    write_table(reports, ("path_to_image", "section_findings", "section_impression", "split"), said)
    return ChexpertSource(path=root, reports=reports, subset_seed=0)


def mimic_cxr(root: Path) -> Source:
    """Patients of the five classes in all splits; test patients with reports and none of the five."""
    images: list[tuple[str, ...]] = []
    splits: list[tuple[str, ...]] = []
    labels: list[tuple[str, ...]] = []
    classes = len(TASKS) * TASK_IMAGES
    for number in range(classes + 120):
        subject = str(10000000 + number if number < classes else 11000000 + number // 2)
        study = str(50000000 + number)
        folder = root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        findings, impression = sentences(number)
        for view in ("PA", "LATERAL") if number % 8 == 0 else ("AP",):
            name = f"{number:06d}-{view.lower()}"
            images.append((name, subject, study, view, "16", "16", "21800506", "213014.5"))
            split = ("train", "validate", "train")[number % 3] if number < classes else "test"
            splits.append((name, study, subject, split))
            write_picture(folder / f"{name}.jpg", len(images))
        folder.with_suffix(".txt").write_text(f" FINDINGS:\n\n {findings}\n\n IMPRESSION:\n\n {impression}\n")
        said = {task_of(number): "1.0"} if number < classes else {}
        labels.append((subject, study, *(said.get(task, "") for task in TASKS), "1.0"))
    write_packed(root / "mimic-cxr-2.0.0-metadata.csv.gz", MIMIC, images)
    write_packed(
        root / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), splits
    )
    header = ("subject_id", "study_id", *map(str.title, TASKS), "Fracture")
    write_packed(root / "mimic-cxr-2.0.0-chexpert.csv.gz", header, labels)
    return MimicCxrSource(path=root, subset_seed=42)


def rsna(root: Path) -> Source:
    labels, classes = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for number in range(400):
        image, shown = f"{number:08d}-aaaa", number % 5 < 2
        write_picture(root / "stage_2_train_images" / f"{image}.png", number)
        labels += [f"{image},256,128,512,64,1"] * (1 + number % 2) if shown else [f"{image},,,,,0"]
        normal = "Normal" if number % 5 < 4 else "No Lung Opacity / Not Normal"
        classes.append(f"{image},{'Lung Opacity' if shown else normal}")
    (root / "stage_2_train_labels.csv").write_text("\n".join(labels) + "\n")
    (root / "stage_2_detailed_class_info.csv").write_text("\n".join(classes) + "\n")
    return RsnaSource(path=root)


def siim(root: Path) -> Source:
    rows = ["ImageId, EncodedPixels"]
    for number in range(320):
        image = f"1.2.276.4.{number:03d}"
        write_picture(
            root / "dicom-images-train" / f"1.2.2.{number}" / f"1.2.3.{number}" / f"{image}.png", number
        )
        rows += [f"{image}, 0 64"] * (1 + number % 2) if number % 5 < 2 else [f"{image}, -1"]
    (root / "train-rle.csv").write_text("\n".join(rows) + "\n")
    return SiimSource(path=root)


def nih14(root: Path) -> Source:
    rows, lists = [NIH14], {"train_val_list.txt": list[str](), "test_list.txt": list[str]()}
    for number in range(140):
        patient, name = number // 2, f"{number // 2:08d}_{number % 2:03d}.png"
        shown = [
            finding.title().replace(" ", "_") for finding in sorted(present_in(number, NIH14_FINDINGS, 0.3))
        ]
        found = "|".join(shown) or "No Finding"
        rows.append(f"{name},{found},0,{patient},058Y,M,PA,2682,2749,0.143,0.143,")
        lists["train_val_list.txt" if patient < 10 else "test_list.txt"].append(name)
        write_picture(root / f"images_00{1 + number % 2}" / "images" / name, number)
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join(rows) + "\n")
    for name, listed in lists.items():
        (root / name).write_text("\n".join(listed) + "\n")
    return Nih14Source(path=root)


def vindr(root: Path) -> Source:
    """Tuberculosis is too rare to count, and the clavicle is never broken."""
    tables = root / "annotations"
    for folder in (tables, root / "train", root / "test"):
        folder.mkdir()
    often = [label for label in VINDR if label not in ("Clavicle fracture", "Tuberculosis")]
    for split, count, other in (("train", 6, "Other diseases"), ("test", 110, "Other disease")):
        columns, rows, boxes = (*VINDR, other, "No finding"), list[tuple[Any, ...]](), list[Any]()
        reader = {"train": ("R8",), "test": ()}[split]
        for number in range(count):
            shown = present_in(number, [*often, other, "No finding"]) | (
                {"Tuberculosis"} if number < 5 else set()
            )
            rows.append((f"{split}{number}", *reader, *(int(name in shown) for name in columns)))
            boxes.append((f"{split}{number}", *reader, "No finding", "", "", "", ""))
            pixels = noise(number if split == "test" else 1000 + number).astype(np.uint16) * 16
            (root / split / f"{split}{number}.dicom").write_bytes(dicom(pixels, BitsStored=12))
        by = {"train": ("rad_id",), "test": ()}[split]
        write_table(tables / f"image_labels_{split}.csv", ("image_id", *by, *columns), rows)
        header = ("image_id", *by, "class_name", *VINDR_CORNERS)
        write_table(tables / f"annotations_{split}.csv", header, boxes)
    return VindrSource(path=root)


def padchest(root: Path) -> Source:
    """Studies with a lateral view now and then; every tenth labeled by a network, and not by hand."""
    rows: list[tuple[str, ...]] = []
    for number in range(260):
        patient, labels = f"p{number // 2}", sorted(present_in(number, STATED))
        by = "RNN_model" if number % 10 == 9 else "Physician"
        for view in ("PA", "L") if number % 4 == 0 else ("PA",):
            image = f"{number}{view}.png"
            write_picture(root / str(number % 3) / image, 2 * number + len(view))
            cells = (str(len(rows)), image, str(number % 3), "20140915", f"s{number}", patient, "1930.0", "F")
            told = (f"s{number}", f"{MARK.lower()} {number} .", by, repr(labels or ["normal"]))
            rows.append((*cells, "", view, "Manual", *told))
    write_table(root / PADCHEST_TABLE, PADCHEST, rows)
    return PadchestSource(path=root)


def covidx(root: Path) -> Source:
    for split, count in (("train", 6), ("val", 30), ("test", 120)):
        lines = [
            f"{split}{number // 2} {number}.png {'positive' if number % 5 < 2 else 'negative'} cohen"
            for number in range(count)
        ]
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
        for number in range(count):
            write_picture(root / split / f"{number}.png", 1000 * len(split) + number)
    return CovidxSource(path=root)


def openi(root: Path) -> Source:
    for folder in ("NLMCXR_png", "ecgen-radiology"):
        (root / folder).mkdir()
    for number in range(260):
        findings, impression = sentences(number)
        xml, names = report(number, images=2, findings=findings, impression=impression)
        (root / "ecgen-radiology" / f"{number}.xml").write_text(xml)
        for place, name in enumerate(names):
            write_picture(root / "NLMCXR_png" / f"{name}.png", 2 * number + place)
    return OpeniSource(path=root)


def phantom(root: Path) -> Source:
    return PhantomSource(count=120)


def labeled_csv(root: Path) -> Source:
    """A user's own columns, some cells empty or uncertain."""
    with (root / "reports.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image", "text", "patient_id", *STATED))
        for number in range(260):
            write_picture(root / f"{number}.png", number)
            shown = present_in(number, STATED)
            cells = [str(int(name in shown)) for name in STATED]
            cells[number % 5] = ("", "-1", cells[0])[number % 3] if number % 5 else cells[0]
            table.writerow((f"{number}.png", f"{MARK} {number}.", f"p{number // 2}", *cells))
    return CsvSource(path=root / "reports.csv", labels=STATED)


TREES: dict[str, Callable[[Path], Source]] = {
    "chexpert": chexpert,
    "mimic-cxr": mimic_cxr,
    "rsna": rsna,
    "siim": siim,
    "nih14": nih14,
    "vindr": vindr,
    "padchest": padchest,
    "covidx": covidx,
    "openi": openi,
    "phantom": phantom,
    "csv": labeled_csv,
}
"""By the kind of source; each writes its tree into an empty folder."""


def prepared(kind: str, folder: Path) -> Path:
    """The corpus of a tiny data set of this kind; four in ten patients are tested, if it has no split."""
    root = folder / "tree"
    root.mkdir(parents=True)
    prepare(TREES[kind](root), folder / "corpus", val=0.3, test=0.4, allow_rejects=True)
    return folder / "corpus"
