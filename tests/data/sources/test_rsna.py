"""The RSNA Pneumonia Detection Challenge, from a tiny tree of its layout."""

import importlib.util
import io
import json

import numpy as np
import pytest

from medistill.data.corpus import open_corpus
from medistill.data.image import decode_image
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import RsnaSource
from medistill.data.sources.parts.published import split_70_15_15
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError, MedistillError

IMAGES = [f"{number:08d}-aaaa" for number in range(20)]
LABELS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"


@pytest.fixture
def tree(tmp_path):
    """The set with 20 images: two boxes in the first, one in the second, and a third that is not normal."""
    labels = [
        "patientId,x,y,width,height,Target",
        f"{IMAGES[0]},256,128,512,64,1",
        f"{IMAGES[0]},0,8,16,1016,1",
    ]
    labels += [f"{IMAGES[1]},512,512,100,100,1", *(f"{image},,,,,0" for image in IMAGES[2:])]
    kinds = ["Lung Opacity", "Lung Opacity", "No Lung Opacity / Not Normal", *["Normal"] * 17]
    classes = ["patientId,class", f"{IMAGES[0]},Lung Opacity"]
    classes += [f"{image},{kind}" for image, kind in zip(IMAGES, kinds, strict=True)]
    (tmp_path / LABELS).write_text("\n".join(labels) + "\n")
    (tmp_path / CLASSES).write_text("\n".join(classes) + "\n")
    folder = tmp_path / "stage_2_train_images"
    folder.mkdir()
    for image, study in zip(IMAGES, phantom_studies(20), strict=True):
        (folder / f"{image}.png").write_bytes(study.images[0].image)
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(RsnaSource(path=path, **options).open()))


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_each_image_is_a_study_with_two_labels(tree):
    items = read(tree)
    assert [item.study_id for item in items] == IMAGES
    assert [item.labels["pneumonia"] for item in items] == [1, 1, *[0] * 18]
    assert [item.labels["no finding"] for item in items] == [0, 0, 0, *[1] * 17]
    assert {item.text for item in items} == {NO_REPORT}


def test_all_boxes_of_an_image_are_kept_in_pixels_of_it(tree):
    first, second, third = read(tree)[:3]  # 64 pixels of a frame of 1,024
    assert first.images[0].boxes == {"pneumonia": (16.0, 8.0, 48.0, 12.0, 0.0, 0.5, 1.0, 64.0)}
    assert second.images[0].boxes == {"pneumonia": (32.0, 32.0, 38.25, 38.25)}
    assert third.images[0].boxes == {}


def test_the_split_is_that_of_gloria_and_named_on_the_card(tree):
    expected = split_70_15_15(IMAGES, seed=0)
    assert {item.study_id: item.split for item in read(tree)} == expected
    card = prepare(RsnaSource(path=tree), tree / "corpus")
    assert card["made_with"]["split"] == "gloria-70-15-15-seed-0"
    assert open_corpus(tree / "corpus").splits == ("train", "val", "test")


def test_with_the_mapping_to_nih_its_patients_are_split_whole(tree):
    mapping = [
        {"subset_img_id": image, "img_id": f"{number // 4:08d}_{number:03d}.png"}
        for number, image in enumerate(IMAGES)
    ]
    (tree / MAPPING).write_text(json.dumps(mapping))
    items = read(tree)
    assert [item.patient_id for item in items] == [f"nih {number // 4}" for number in range(20)]
    assert len({(item.patient_id, item.split) for item in items}) == 5
    assert RsnaSource(path=tree).made_with()["split"] == "nih-patient-70-15-15-seed-0"


@pytest.mark.parametrize(
    "text", ["{}", "[1]", '[{"img_id": "1.png"}]', '[{"subset_img_id": "a", "img_id": "x"}]']
)
def test_a_mapping_that_is_none_is_refused(tree, text):
    (tree / MAPPING).write_text(text)
    with pytest.raises(MedistillError, match=f"{MAPPING} does not say which image"):
        read(tree)


def test_an_image_that_is_not_there_is_rejected(tree):
    (tree / "stage_2_train_images" / f"{IMAGES[4]}.png").unlink()
    reject = read(tree)[4]
    assert (reject.row, reject.reason) == (5, "no such image file")


@pytest.mark.parametrize("name", [LABELS, CLASSES])
def test_a_table_that_is_missing_is_named(tree, name):
    (tree / name).unlink()
    with pytest.raises(CallError, match=f"no {name} in .*: name the folder of the published set"):
        read(tree)


@pytest.mark.parametrize(("name", "column"), [(LABELS, "Target"), (CLASSES, "class")])
def test_a_column_that_is_missing_is_named(tree, name, column):
    rewrite(tree / name, column, "other")
    with pytest.raises(CallError, match=f"{name} has no column `{column}`; it has patientId"):
        read(tree)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            LABELS,
            "256,128,512,64,1",
            "256,128,512,,1",
            "row 1: x, y, width, height are no box",
        ),
        (LABELS, "256,128,512,64,1", "256,128,512,64,Doe", "column `Target`.*row 1: neither 1 nor 0"),
        (LABELS, "256,128,512,64,1", "256,128,1", "row 1: 4 cells where the header has 6"),
        (CLASSES, "No Lung Opacity / Not Normal", "Doe", "column `class`.*row 4: none of the three classes"),
        (CLASSES, f"{IMAGES[3]},", f"{IMAGES[2]},", r"1 image\(s\) have two classes"),
    ],
)
def test_a_row_that_was_not_published_is_told_by_its_number(tree, name, old, new, message):
    rewrite(tree / name, old, new)
    with pytest.raises(CallError, match=message) as error:
        read(tree)
    assert "Doe" not in str(error.value)


def test_an_image_without_a_class_is_rejected(tree):
    rewrite(tree / CLASSES, f"{IMAGES[5]},Normal\n", "")
    assert read(tree)[5].reason == f"not in {CLASSES}"


@pytest.mark.skipif(importlib.util.find_spec("medistill.data.dicom") is None, reason="needs data/dicom.py")
def test_images_are_read_as_dicom_as_they_were_published(tree):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    path = tree / "stage_2_train_images" / f"{IMAGES[0]}.png"
    pixels = decode_image(path.read_bytes())
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = (
        ExplicitVRLittleEndian,
        SecondaryCaptureImageStorage,
    )
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = Dataset()
    file.file_meta, file.SOPClassUID = meta, SecondaryCaptureImageStorage
    file.SOPInstanceUID, file.Modality = meta.MediaStorageSOPInstanceUID, "CR"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.PixelData = pixels.tobytes()
    written = io.BytesIO()
    file.save_as(written, enforce_file_format=True)
    path.unlink()
    path.with_suffix(".dcm").write_bytes(written.getvalue())
    study = read(tree)[0]
    assert np.corrcoef(decode_image(study.images[0].image).ravel(), pixels.ravel())[0, 1] > 0.99
    assert study.images[0].boxes["pneumonia"][:4] == (16.0, 8.0, 48.0, 12.0)


def test_images_that_the_table_of_classes_spells_otherwise_say_how_many_would_match(tree):
    path = tree / CLASSES
    path.write_text(path.read_text().replace(IMAGES[5], IMAGES[5].upper()))
    assert read(tree)[5].reason == f"not in {CLASSES}; 1 of 1 such would match if case were ignored"
