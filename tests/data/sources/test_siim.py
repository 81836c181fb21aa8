"""The SIIM-ACR Pneumothorax Segmentation challenge, from a tiny tree of its layout."""

import numpy as np
import pytest

from medistill.data.corpus import open_corpus
from medistill.data.image import decode_image
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import SiimSource
from medistill.data.sources.parts.published import split_70_15_15
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError

IMAGES = [f"1.2.276.4.{number:03d}" for number in range(20)]
STRIP = f" {1024 * 512} {1024 * 64}"  # the 64 columns right of the middle, whole
CORNER = " 0 64 " + " ".join(["960 64"] * 63)  # the upper left 64 x 64


@pytest.fixture
def tree(tmp_path):
    """Stage 1 with 20 images of 64 pixels; the first has two masks, the second one."""
    rows = [
        "ImageId, EncodedPixels",
        f"{IMAGES[0]},{STRIP}",
        f"{IMAGES[0]},{CORNER}",
        f"{IMAGES[1]},{CORNER}",
    ]
    (tmp_path / "train-rle.csv").write_text(
        "\n".join([*rows, *(f"{image}, -1" for image in IMAGES[2:])]) + "\n"
    )
    for number, (image, study) in enumerate(zip(IMAGES, phantom_studies(20), strict=True)):
        folder = tmp_path / "dicom-images-train" / f"1.2.276.2.{number}" / f"1.2.276.3.{number}"
        folder.mkdir(parents=True)
        (folder / f"{image}.png").write_bytes(study.images[0].image)
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(SiimSource(path=path, **options).open()))


def test_an_image_with_a_mask_has_a_pneumothorax(tree):
    items = read(tree)
    assert [item.study_id for item in items] == IMAGES
    assert [item.labels["pneumothorax"] for item in items] == [1, 1, *[0] * 18]
    assert {item.text for item in items} == {NO_REPORT}


def test_all_masks_of_an_image_are_one_in_the_size_of_the_image(tree):
    both, one, none = (item.images[0].masks for item in read(tree)[:3])
    expected = np.zeros((64, 64), np.uint8)
    expected[:4, :4] = 255  # 64 pixels of a frame of 1,024
    np.testing.assert_array_equal(decode_image(one["pneumothorax"]), expected)
    expected[:, 32:36] = 255
    np.testing.assert_array_equal(decode_image(both["pneumothorax"]), expected)
    assert none == {}
    shrunk = read(tree, size=32)[1].images[0]
    assert decode_image(shrunk.image).shape == decode_image(shrunk.masks["pneumothorax"]).shape == (32, 32)


def test_the_split_is_by_image_and_named_on_the_card(tree):
    assert {item.study_id: item.split for item in read(tree)} == split_70_15_15(IMAGES, seed=0)
    prepare(SiimSource(path=tree), tree / "corpus")
    corpus = open_corpus(tree / "corpus")
    assert corpus.card["made_with"]["split"] == "image-70-15-15-seed-0"
    rows = corpus.split("train")
    masks = [rows.mask(i, "pneumothorax") for i in range(len(rows))]
    assert [mask is not None for mask in masks] == [bool(label) for label in rows.labels[:, 0]]


def test_stage_2_is_read_as_well(tree):
    text = (tree / "train-rle.csv").read_text()
    (tree / "stage_2_train.csv").write_text(text.replace(", ", ","))
    (tree / "train-rle.csv").unlink()
    assert [item.labels["pneumothorax"] for item in read(tree)] == [1, 1, *[0] * 18]


def test_an_image_that_is_not_there_is_rejected(tree):
    next(tree.rglob(f"{IMAGES[3]}.png")).unlink()
    reject = read(tree)[3]
    assert (reject.row, reject.reason) == (4, "no such image file")


def test_a_mask_that_leaves_the_frame_rejects_its_image(tree):
    path = tree / "train-rle.csv"
    path.write_text(path.read_text().replace(STRIP, " 1048000 1024"))
    assert read(tree)[0].reason == "the mask reaches beyond 1024 x 1024 pixels"


def test_a_table_that_is_missing_is_named(tree):
    (tree / "train-rle.csv").unlink()
    with pytest.raises(CallError, match=r"no stage_2_train.csv or train-rle.csv in"):
        read(tree)


def test_a_column_that_is_missing_is_named(tree):
    path = tree / "train-rle.csv"
    path.write_text(path.read_text().replace("EncodedPixels", "Mask"))
    with pytest.raises(CallError, match="no column `EncodedPixels`; it has ImageId"):
        read(tree)


@pytest.mark.parametrize("row", [f"{IMAGES[2]},", f"{IMAGES[2]},1,2"])
def test_a_row_without_a_mask_or_its_absence_is_told_by_its_number(tree, row):
    path = tree / "train-rle.csv"
    path.write_text(path.read_text().replace(f"{IMAGES[2]}, -1", row))
    with pytest.raises(CallError, match=r"train-rle.csv, row 4: "):
        read(tree)
