"""A tiny data set for every kind of source in its published layout: noise and made-up reports.

python benchmarks/source_files.py FOLDER
"""

import csv
import gzip
import io
import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 24
TASKS = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion")
EACH = 202
"""Images a class that a 5x200 subset is drawn from."""
STATED = ("cardiomegaly", "pleural effusion", "pneumothorax", "consolidation", "edema")
CHEXPERT = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
)
NIH14 = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"),
    *("Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
NIH14_COLUMNS = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender"),
    *("View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]", ""),
)
VINDR = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
    *("COPD", "Lung tumor", "Pneumonia", "Tuberculosis"),
)
PADCHEST = (
    *("", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth"),
    *("PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodProjection", "ReportID", "Report"),
    *("MethodLabel", "Labels"),
)
OPENI = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><meta type="rr"/><uId id="CXR{number}"/>
<MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText>
<AbstractText Label="INDICATION">XXXX-year-old with cough</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation>
<MeSH><major>normal</major></MeSH>
{images}</eCitation>
"""


def noise(number: int) -> np.ndarray:
    """A picture that no other number gives; every second one is wider than high."""
    shape = (SIDE, SIDE + 8 * (number % 2))
    return np.random.default_rng([1, number]).integers(0, 256, shape, dtype=np.uint8)


def write_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(number)).save(path, "JPEG" if path.suffix == ".jpg" else "PNG")


def present_in(number: int, findings: Sequence[str], share: float = 0.4) -> set[str]:
    """Which findings case `number` shows, at random."""
    drawn = np.random.default_rng([2, number]).random(len(findings)) < share
    return {finding for finding, shown in zip(findings, drawn, strict=True) if shown}


def sentences(number: int) -> tuple[str, str]:
    """Findings and impression of a report that 32 numbers share."""
    shown = present_in(number % 32, STATED)
    said = [f"There is {name}." if name in shown else f"There is no {name}." for name in STATED]
    return " ".join(said), f"Impression {number % 32}, as discussed."


def report(number: int) -> str:
    """With headers, as a hospital's free text has them."""
    findings, impression = sentences(number)
    return f" INDICATION:  Cough.\n\n FINDINGS:\n\n {findings}\n\n IMPRESSION:\n\n {impression}\n"


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_dicom(path: Path, pixels: np.ndarray, **values: Any) -> None:
    import pydicom.uid
    from pydicom.dataset import Dataset, FileMetaDataset

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    rows, columns = pixels.shape
    values = {
        "SOPClassUID": pydicom.uid.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "Modality": "DX",
        "PatientID": "P1",
        "AccessionNumber": "A1",
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelRepresentation": 0,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        **values,
    }
    with warnings.catch_warnings(action="ignore"):
        for name, value in values.items():
            setattr(dataset, name, value)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def folder(root: Path) -> None:
    """A text file for each image, one for two images, and leftovers."""
    for number in range(60):
        place = root / f"p{number // 2:02d}" / f"s{number}"
        write_picture(place / "a.png", number)
        if number % 3 == 0:
            write_picture(place / "b.jpg", 1000 + number)
        (place / "report.txt").write_text(report(number))
    write_picture(root / "p99" / "alone.png", 99)


def table(root: Path) -> None:
    """A user's own columns; some cells are empty, uncertain or odd, a file is missing and one is broken."""
    header = ("image", "text", "patient_id", "study", "seen", "view", "sex", "age", *STATED)
    rows: list[tuple[str, ...]] = []
    for number in range(260):
        write_picture(root / "films" / f"{number}.png", number)
        shown = present_in(number, STATED)
        cells = [str(int(name in shown)) for name in STATED]
        cells[number % 5] = ("", "-1", cells[0])[number % 3] if number % 5 else cells[0]
        about = (("PA", "lateral", "ap", "?")[number % 4], "MFx"[number % 3], str(20 + number % 75))
        day = f"2021-{1 + number % 12:02d}-{1 + number % 28:02d}"
        ids = (f"p{number // 2}", f"s{number - number % 4 // 3}", day)
        rows.append((f"films/{number}.png", report(number), *ids, *about, *cells))
    rows.append(("films/none.png", "Clear.", "p900", "s900", "", "", "", "", *[""] * len(STATED)))
    rows.append(("films/odd.png", "Clear.", "p901", "s901", "", "", "", "", *[""] * len(STATED)))
    (root / "films" / "odd.png").write_bytes((root / "films" / "0.png").read_bytes()[:90])
    write_table(root / "reports.csv", header, rows)


def dicom(root: Path) -> None:
    """Two images a study now and then, both kinds of grey, a window, a repeated image and a file of text."""
    reports: list[tuple[str, str]] = []
    for number in range(60):
        reports.append((f"A{number}", report(number)))
        for image in range(1 + (number % 3 == 0)):
            values = {
                "PatientID": f"P{number // 2}",
                "AccessionNumber": f"A{number}",
                "PatientAge": "061Y",
                "StudyInstanceUID": f"1.2.{number}",
                "SeriesInstanceUID": f"1.2.{number}.1",
                "SOPInstanceUID": f"1.2.{number}.1.{image}",
                "StudyDate": "20200131",
                "PatientSex": "F",
                "ViewPosition": "LL" if image else "PA",
                "PhotometricInterpretation": f"MONOCHROME{1 + number % 2}",
            }
            if number % 4 == 0:
                values |= {"WindowCenter": 2000, "WindowWidth": 3000, "WindowCenterWidthExplanation": "LUNG"}
            write_dicom(
                root / "files" / str(number % 7) / f"{number}_{image}", noise(number) * 16.0, **values
            )
    again = (root / "files" / "0" / "0_0").read_bytes()
    (root / "files" / "again").write_bytes(again)
    (root / "files" / "notes").write_text("No image.")
    write_table(root / "reports.csv", ("accession", "text"), reports)


def chexpert(root: Path) -> None:
    """Enough images of each task alone, two a patient; some uncertain; a validation set and the test set."""
    numbers = itertools.count()

    def row(place: str, stated: Sequence[str], lateral: bool = False) -> tuple[str, ...]:
        file = f"{place}/{'view2_lateral' if lateral else 'view1_frontal'}.jpg"
        write_picture(root / file, next(numbers))
        view = ("Lateral", "") if lateral else ("Frontal", "AP")
        return (f"CheXpert-v1.0-small/{file}", "Male", "50", *view, *stated)

    train = []
    for number in range(len(TASKS) * EACH):
        said = {TASKS[number // EACH]: "1.0", "fracture": "0.0"}
        place = f"train/patient{10000 + number // 2}/study{number % 2 + 1}"
        train.append(row(place, [said.get(label.lower(), "") for label in CHEXPERT]))
    for number in range(10):
        train.append(row(f"train/patient{20000 + number}/study1", ["-1.0"] * len(CHEXPERT), number % 2 == 1))
    cells = [[str(float(name in present_in(n, CHEXPERT))) for name in CHEXPERT] for n in range(160)]
    valid = [row(f"valid/patient{64500 + n}/study1", stated) for n, stated in enumerate(cells[:40])]
    test = [(f"test/patient{64741 + n // 2}/study{n % 2 + 1}", *said) for n, said in enumerate(cells[40:])]
    for number, (place, *_) in enumerate(test):
        write_picture(root / place / "view1_frontal.jpg", next(numbers))
        if number % 4 == 0:
            write_picture(root / place / "view2_lateral.jpg", next(numbers))
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT)
    write_table(root / "train.csv", header, train)
    write_table(root / "valid.csv", header, valid)
    test = [(f"CheXpert-v1.0/{place}", *said) for place, *said in test]
    write_table(root / "groundtruth.csv", ("Study", *CHEXPERT), test)
    said = [
        (path.removeprefix("CheXpert-v1.0-small/"), *sentences(n), "-") for n, (path, *_) in enumerate(train)
    ]
    columns = ("path_to_image", "section_findings", "section_impression", "split")
    write_table(root / "df_chexpert_plus_240401.csv", columns, said)


def mimic_cxr(root: Path) -> None:
    """Patients of the five classes in all splits; test patients with reports and none of the five."""
    images: list[tuple[str, ...]] = []
    splits: list[tuple[str, ...]] = []
    labels: list[tuple[str, ...]] = []
    classes = len(TASKS) * EACH
    for number in range(classes + 80):
        subject = str(10000000 + number if number < classes else 11000000 + number // 2)
        study = str(50000000 + number)
        place = root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        for view in ("PA", "LATERAL") if number % 8 == 0 else ("AP",):
            name = f"{number:06d}-{view.lower()}"
            images.append((name, subject, study, view, "16", "16", "21800506", "213014.5"))
            split = ("train", "validate", "train")[number % 3] if number < classes else "test"
            splits.append((name, study, subject, split))
            write_picture(place / f"{name}.jpg", len(images))
        place.with_suffix(".txt").write_text(report(number))
        said = {TASKS[number // EACH]: "1.0"} if number < classes else {}
        labels.append((subject, study, *(said.get(task, "") for task in TASKS), "1.0"))
    ids = ("subject_id", "study_id")
    header = ("dicom_id", *ids, "ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime")
    write_table(root / "mimic-cxr-2.0.0-metadata.csv.gz", header, images)
    header = ("dicom_id", "study_id", "subject_id", "split")
    write_table(root / "mimic-cxr-2.0.0-split.csv.gz", header, splits)
    header = (*ids, *map(str.title, TASKS), "Fracture")
    write_table(root / "mimic-cxr-2.0.0-chexpert.csv.gz", header, labels)


def openi(root: Path) -> None:
    for number in range(120):
        findings, impression = sentences(number)
        names = [f"CXR{number}_IM-0001-{1001 + image}" for image in range(2)]
        for place, name in enumerate(names):
            write_picture(root / "NLMCXR_png" / f"{name}.png", 2 * number + place)
        images = "".join(
            f'<parentImage id="{name}"><figureId>F1</figureId></parentImage>\n' for name in names
        )
        text = OPENI.format(number=number, findings=findings, impression=impression, images=images)
        write_lines(root / "ecgen-radiology" / f"{number}.xml", [text])


def nih14(root: Path) -> None:
    rows: list[tuple[Any, ...]] = []
    boxes: list[tuple[Any, ...]] = []
    lists: dict[str, list[str]] = {"train_val_list.txt": [], "test_list.txt": []}
    for number in range(140):
        patient, name = number // 2, f"{number // 2:08d}_{number % 2:03d}.png"
        shown = sorted(present_in(number, NIH14, 0.3))
        about = (number % 2, patient, "058Y", "M", "PA", 2682, 2749, 0.143, 0.143, "")
        rows.append((name, "|".join(shown) or "No Finding", *about))
        boxes += [(name, finding, 256, 512, 128, 64, "", "", "") for finding in shown if finding == "Mass"]
        lists["train_val_list.txt" if patient < 10 else "test_list.txt"].append(name)
        write_picture(root / f"images_00{1 + number % 2}" / "images" / name, number)
    write_table(root / "Data_Entry_2017_v2020.csv", NIH14_COLUMNS, rows)
    header = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", "")
    write_table(root / "BBox_List_2017.csv", header, boxes)
    for name, listed in lists.items():
        write_lines(root / name, listed)


def rsna(root: Path) -> None:
    labels, classes = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for number in range(200):
        image, shown = f"{number:08d}-aaaa", number % 5 < 2
        write_picture(root / "stage_2_train_images" / f"{image}.png", number)
        labels += [f"{image},256,128,512,64,1"] * (1 + number % 2) if shown else [f"{image},,,,,0"]
        normal = "Normal" if number % 5 < 4 else "No Lung Opacity / Not Normal"
        classes.append(f"{image},{'Lung Opacity' if shown else normal}")
    write_lines(root / "stage_2_train_labels.csv", labels)
    write_lines(root / "stage_2_detailed_class_info.csv", classes)


def siim(root: Path) -> None:
    rows = ["ImageId, EncodedPixels"]
    for number in range(200):
        image = f"1.2.276.4.{number:03d}"
        write_picture(
            root / "dicom-images-train" / f"1.2.2.{number}" / f"1.2.3.{number}" / f"{image}.png", number
        )
        rows += (
            [f"{image}, {512 * 1024} {1024 * 64}"] * (1 + number % 2) if number % 5 < 2 else [f"{image}, -1"]
        )
    write_lines(root / "train-rle.csv", rows)


def padchest(root: Path) -> None:
    """Studies with a lateral view now and then; every tenth labeled by a network, and not by hand."""
    rows: list[tuple[str, ...]] = []
    for number in range(200):
        patient, labels = f"p{number // 2}", sorted(present_in(number, STATED))
        by = "RNN_model" if number % 10 == 9 else "Physician"
        for view in ("PA", "L") if number % 4 == 0 else ("PA",):
            image = f"{number}{view}.png"
            write_picture(root / str(number % 3) / image, 2 * number + len(view))
            cells = (str(len(rows)), image, str(number % 3), "20140915", f"s{number}", patient, "1930.0", "F")
            told = (f"s{number}", f"informe {number} .", by, repr(labels or ["normal"]))
            rows.append((*cells, "", view, "Manual", *told))
    write_table(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST, rows)


def vindr(root: Path) -> None:
    """Tuberculosis is too rare to count, and the clavicle is never broken."""
    tables, corners = root / "annotations", ("x_min", "y_min", "x_max", "y_max")
    often = [label for label in VINDR if label not in ("Clavicle fracture", "Tuberculosis")]
    for split, count, other, reader in (
        ("train", 6, "Other diseases", ("R8",)),
        ("test", 110, "Other disease", ()),
    ):
        columns, by = (*VINDR, other, "No finding"), ("rad_id",) * len(reader)
        rows, boxes = [], []
        for number in range(count):
            rare = {"Tuberculosis"} if number < 5 else set()
            shown = present_in(number, [*often, other, "No finding"]) | rare
            rows.append((f"{split}{number}", *reader, *(int(name in shown) for name in columns)))
            marked = ("Cardiomegaly", 2, 3, 12, 14) if "Cardiomegaly" in shown else ("No finding", *[""] * 4)
            boxes.append((f"{split}{number}", *reader, *marked))
            pixels = noise(number if split == "test" else 1000 + number).astype(np.uint16) * 16
            write_dicom(root / split / f"{split}{number}.dicom", pixels)
        write_table(tables / f"image_labels_{split}.csv", ("image_id", *by, *columns), rows)
        write_table(tables / f"annotations_{split}.csv", ("image_id", *by, "class_name", *corners), boxes)


def covidx(root: Path) -> None:
    for split, count in (("train", 6), ("val", 30), ("test", 80)):
        kinds = ["positive" if number % 5 < 2 else "negative" for number in range(count)]
        lines = [f"{split}{number // 2} {number}.png {kind} cohen" for number, kind in enumerate(kinds)]
        write_lines(root / f"{split}.txt", lines)
        for number in range(count):
            write_picture(root / split / f"{number}.png", 1000 * len(split) + number)


def roco(root: Path) -> None:
    for split, count in (("train", 40), ("valid", 10), ("test", 20)):
        names = [f"ROCOv2_2023_{split}_{number:06d}" for number in range(count)]
        captions = [(name, " ".join(sentences(number))) for number, name in enumerate(names)]
        write_table(root / f"{split}_captions.csv", ("ID", "Caption"), captions)
        for number, name in enumerate(names):
            write_picture(root / split / f"{name}.jpg", 1000 * len(split) + number)


def medpix(root: Path) -> None:
    numbers = itertools.count()
    for split, count in (("train", 40), ("dev", 10), ("test", 20)):
        lines = []
        for case in range(count):
            number = next(numbers)
            about = {"ACR Codes": "1.-1", "Age": "27", "Caption": sentences(number)[0], "Figure Part": None}
            about |= {"Modality": "CT - noncontrast", "Plane": "Axial", "Sex": "female"}
            image = f"MPX{number}_synpic{case}"
            entry = {"Type": "CT", "U_id": f"MPX{number}", "image": image, "Description": about}
            region = ("Head", "Thorax", "Spine and Muscles")[number % 3]
            lines.append(json.dumps(entry | {"Location": "Lung", "Location Category": region}))
            write_picture(root / "images" / f"{image}.png", number)
        write_lines(root / "splitted_dataset" / f"descriptions_{split}.jsonl", lines)


def towers(root: Path) -> None:
    """A ViT and a BERT to start from, as transformers saves them, with random weights and a few words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, ViTConfig, ViTModel

    torch.manual_seed(0)
    layer = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ViTModel(ViTConfig(**layer, image_size=64, patch_size=16, num_channels=1)).save_pretrained(root / "vit")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *["there", "is", "no", "left", "right", "small", "large", "heart", "lung", "effusion"],
    ]
    BertModel(BertConfig(**layer, vocab_size=len(words))).save_pretrained(root / "bert")
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    saved = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=96, **names)
    saved.save_pretrained(root / "bert")


SETS: dict[str, Callable[[Path], None]] = {
    "folder": folder,
    "csv": table,
    "dicom": dicom,
    "mimic-cxr": mimic_cxr,
    "chexpert": chexpert,
    "openi": openi,
    "nih14": nih14,
    "rsna": rsna,
    "siim": siim,
    "padchest": padchest,
    "vindr": vindr,
    "covidx": covidx,
    "roco": roco,
    "medpix": medpix,
}
"""By the kind of source; each writes its files into a folder."""


def write_all(root: Path) -> None:
    for name, write in SETS.items():
        write(root / name)
    towers(root / "towers")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
