"""NIH ChestX-ray14, from a tiny tree of its layout."""

import numpy as np
import pytest

from medistill.data.check.run import check_corpus
from medistill.data.corpus import open_corpus
from medistill.data.image import decode_image
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import Nih14Source
from medistill.data.sources.nih14 import FINDINGS
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError, MedistillError

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
ROWS = (
    "00000001_000.png,Cardiomegaly|Pleural_Thickening,0,1,058Y,M,PA,2682,2749,0.143,0.143,",
    "00000001_001.png,No Finding,1,1,59,M,AP,2894,2729,0.143,0.143,",
    "00000002_000.png,Infiltration,0,2,414,F,PA,2500,2048,0.168,0.168,",
)
BOXES = (
    "Image Index,Finding Label,Bbox [x,y,w,h],,,",
    "00000001_000.png,Cardiomegaly,256,512,128,64,,,",
    "00000002_000.png,Infiltrate,0,0,1024,512,,,",
    "00000002_000.png,Infiltrate,8,16,32,64,,,",
)


@pytest.fixture
def tree(tmp_path):
    """The set with three images of 128 pixels, two of them in images_001 and one in images_002."""
    pictures = [study.images[0].image for study in phantom_studies(3, size=128)]
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    (tmp_path / "BBox_List_2017.csv").write_text("\n".join(BOXES) + "\n")
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png")
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    for row, picture, part in zip(ROWS, pictures, ("images_001", "images_001", "images_002"), strict=True):
        folder = tmp_path / part / "images"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / row.partition(",")[0]).write_bytes(picture)
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(Nih14Source(path=path, **options).open()))


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_each_image_is_a_study_of_its_patient_in_its_official_split(tree):
    first, second, third = read(tree)
    assert [study.study_id for study in (first, second, third)] == [
        "00000001_000",
        "00000001_001",
        "00000002_000",
    ]
    assert [study.patient_id for study in (first, second, third)] == ["1", "1", "2"]
    assert [study.split for study in (first, second, third)] == ["train", "train", "test"]
    assert [study.images[0].view for study in (first, second, third)] == ["PA", "AP", "PA"]
    assert [study.sex for study in (first, second, third)] == ["M", "M", "F"]
    assert [study.age for study in (first, second, third)] == [58.0, 59.0, None]
    assert {study.text for study in (first, second, third)} == {NO_REPORT}


def test_the_findings_listed_are_present_and_all_others_absent(tree):
    first, second, _ = read(tree)
    assert {name for name, state in first.labels.items() if state} == {"cardiomegaly", "pleural thickening"}
    assert set(second.labels) == set(FINDINGS)
    assert set(second.labels.values()) == {0}


def test_images_may_lie_in_one_folder(tree):
    (tree / "images").mkdir()
    for path in tree.glob("images_0*/images/*.png"):
        path.rename(tree / "images" / path.name)
    assert len([item for item in read(tree) if isinstance(item, Study)]) == 3


def test_boxes_are_in_pixels_of_the_image_as_it_is_stored(tree):
    first, second, third = read(tree)  # 128 pixels of a frame of 1,024
    assert first.images[0].boxes == {"cardiomegaly": (32.0, 64.0, 48.0, 72.0)}
    assert second.images[0].boxes == {}
    assert third.images[0].boxes == {"infiltration": (0.0, 0.0, 128.0, 64.0, 1.0, 2.0, 5.0, 10.0)}
    shrunk = read(tree, size=64)[0].images[0]
    assert decode_image(shrunk.image).shape == (64, 64)
    assert shrunk.boxes == {"cardiomegaly": (16.0, 32.0, 24.0, 36.0)}


def test_the_corpus_keeps_several_boxes_of_a_finding(tree):
    prepare(Nih14Source(path=tree), tree / "corpus")
    corpus = open_corpus(tree / "corpus")
    assert corpus.findings == FINDINGS
    (boxes,) = corpus.split("test").column("boxes")
    np.testing.assert_allclose(boxes["infiltration"], [0, 0, 128, 64, 1, 2, 5, 10])
    assert corpus.card["made_with"]["split"] == "official"
    assert str(tree) not in (tree / "corpus" / "card.json").read_text()


def test_the_checks_find_nothing_wrong_with_texts_that_are_none(tree):
    prepare(Nih14Source(path=tree), tree / "corpus")
    checked = check_corpus(open_corpus(tree / "corpus"))
    assert checked.passed
    assert [checked.by_check[name] for name in ("empty_texts", "shared_texts", "cut_texts")] == [()] * 3


def test_without_the_list_of_boxes_there_are_none(tree):
    (tree / "BBox_List_2017.csv").unlink()
    assert all(study.images[0].boxes == {} for study in read(tree))


def test_an_image_that_is_not_there_is_rejected_by_its_row(tree):
    (tree / "images_002" / "images" / "00000002_000.png").unlink()
    reject = read(tree)[2]
    assert (reject.row, reject.reason, reject.path) == (3, "no such image file", "00000002_000.png")


def test_an_image_in_no_list_is_rejected(tree):
    (tree / "test_list.txt").write_text("")
    assert read(tree)[2].reason == "in neither train_val_list.txt nor test_list.txt"


@pytest.mark.parametrize("name", ["Data_Entry_2017_v2020.csv", "train_val_list.txt", "test_list.txt"])
def test_a_file_of_the_set_that_is_missing_is_named(tree, name):
    (tree / name).unlink()
    with pytest.raises(CallError, match=rf"no {name}.*name the folder of the published set"):
        read(tree)


def test_a_column_that_is_missing_is_named(tree):
    rewrite(tree / "Data_Entry_2017_v2020.csv", "Finding Labels", "Labels")
    with pytest.raises(CallError, match="has no column `Finding Labels`; it has Image Index, Patient ID"):
        read(tree)


def test_a_finding_that_was_never_published_is_told_by_its_row(tree):
    rewrite(tree / "Data_Entry_2017_v2020.csv", "No Finding", "Doe")
    with pytest.raises(CallError, match=r"`Finding Labels`.*row 2: not the names of the 14") as error:
        read(tree)
    assert "Doe" not in str(error.value)


def test_an_image_in_both_lists_is_an_error(tree):
    (tree / "test_list.txt").write_text("00000002_000.png\n00000001_000.png\n")
    with pytest.raises(CallError, match=r"1 image\(s\) are in train_val_list.txt and test_list.txt"):
        read(tree)


def test_a_patient_in_both_lists_is_an_error_before_an_image_is_read(tree):
    (tree / "train_val_list.txt").write_text("00000001_000.png\n")
    (tree / "test_list.txt").write_text("00000002_000.png\n00000001_001.png\n")
    with pytest.raises(CallError, match=r"1 patient\(s\) are in two splits by train_val_list.txt and"):
        Nih14Source(path=tree).open()


@pytest.mark.parametrize(
    "line", ["00000001_000.png,Cardiomegaly,1,2,3", "a.png,Doe,1,2,3,4", "a.png,Mass,x,2,3,4"]
)
def test_a_list_of_boxes_that_is_none_is_refused_without_quoting_it(tree, line):
    rewrite(tree / "BBox_List_2017.csv", BOXES[1], line)
    with pytest.raises(
        MedistillError, match=r"BBox_List_2017.csv is not a table of image, finding, x"
    ) as error:
        read(tree)
    assert "Doe" not in str(error.value)


def test_names_in_another_case_than_the_lists_say_how_many_would_match(tree):
    table = tree / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("00000001_001.png", "00000001_001.PNG"))
    reasons = [item.reason for item in read(tree) if isinstance(item, Reject)]
    lists = "train_val_list.txt nor test_list.txt"
    assert reasons == [f"in neither {lists}; 1 of 1 such would match if case were ignored"]


def test_a_stray_mark_in_the_boxes_is_refused(tree):
    path = tree / "BBox_List_2017.csv"
    path.write_text(
        path.read_text().replace("00000002_000.png,Infiltrate,0", '00000002_000.png,"Infiltrate,0')
    )
    with pytest.raises(MedistillError, match=r"BBox_List_2017.csv is not a table"):
        read(tree)
