import datetime
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from medistill.data.corpus import training_rows
from medistill.data.image import decode_image, encode_image
from medistill.data.study import NO_REPORT, StudyImage
from medistill.errors import CallError


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_row_holds_what_the_study_said(write, grey, study):
    mask = np.where(grey > 128, 255, 0).astype(np.uint8)
    image = StudyImage(
        image=encode_image(grey),
        view="AP",
        masks={"mass": encode_image(mask)},
        boxes={"mass": (1.0, 2.0, 3.0, 4.0)},
    )
    one = study(
        images=(image,),
        split="odd",
        sex="F",
        age=61.0,
        date=datetime.date(2020, 1, 31),
        findings="A mass.",
        impression="Mass.",
        labels={"mass": 1, "edema": -1},
        source="ward",
    )
    rows = write([one], findings=["edema", "mass", "nodule"]).split("odd")
    np.testing.assert_array_equal(rows.image(0), grey)
    np.testing.assert_array_equal(rows.mask(0, "mass"), mask)
    assert rows.mask(0, "nodule") is None
    np.testing.assert_array_equal(rows.labels, [[-1, 1, np.nan]])
    assert (rows.texts, rows.study_ids, rows.patient_ids, rows.views) == (
        ["Clear lungs."],
        ["s1"],
        ["p1"],
        ["AP"],
    )
    assert rows.column("boxes") == [{"edema": None, "mass": [1, 2, 3, 4], "nodule": None}]
    others = {
        name: rows.column(name)[0] for name in ("sex", "age", "date", "findings", "impression", "source")
    }
    assert list(others.values()) == ["F", 61.0, datetime.date(2020, 1, 31), "A mass.", "Mass.", "ward"]


def test_the_text_of_a_study_is_repeated_on_its_images(write, study):
    rows = write([study(views=("PA", "lateral"), split="train")]).split("train")
    assert rows.views == ["PA", "lateral"]
    assert rows.texts == ["Clear lungs."] * 2
    assert rows.study_ids == ["s1"] * 2


def test_no_patient_is_in_two_splits_whatever_the_order(write, study):
    studies = [study(number, patient_id=f"p{number // 3}") for number in range(300)]
    found = []
    for turn in range(2):
        random.Random(turn).shuffle(studies)
        corpus = write(studies, f"corpus{turn}", val=0.2, test=0.2)
        found.append({name: set(corpus.split(name).patient_ids) for name in corpus.splits})
    assert found[0] == found[1]
    assert sum(map(len, found[0].values())) == 100 == len(set.union(*found[0].values()))


def test_a_given_split_is_honored(write, study):
    corpus = write([study(number, split="Validation" if number % 2 else "train") for number in range(10)])
    assert corpus.split("val").patient_ids == ["p1", "p3", "p5", "p7", "p9"]


def test_a_patient_given_two_splits_is_an_error(write, tmp_path, study):
    studies = [
        study(1, patient_id="p", split="train"),
        study(2, patient_id="p", split="test"),
        study(3, split="test"),
    ]
    with pytest.raises(CallError, match=r"1 patient\(s\) are in two splits"):
        write(studies)
    assert not list(tmp_path.iterdir())


def test_a_study_id_of_two_patients_is_an_error(write, study):
    with pytest.raises(CallError, match=r"1 study id\(s\) belong to more than one patient"):
        write([study(1, study_id="s"), study(2, study_id="s")])


def test_training_rows_cut_a_validation_split_by_patient(write, study):
    studies = [study(number, patient_id=f"p{number // 2}", split="train") for number in range(200)]
    train, val = training_rows(write(studies))
    assert len(train) + len(val) == 200
    assert 0 < len(val) < 50
    assert not set(train.patient_ids) & set(val.patient_ids)


def test_training_rows_use_the_validation_split_there_is(write, study):
    train, val = training_rows(
        write([study(1, split="train"), study(2, split="val"), study(3, split="test")])
    )
    assert (train.patient_ids, val.patient_ids) == (["p1"], ["p2"])


def test_training_rows_hold_no_study_without_a_report(write, study):
    told = [study(number, split="train") for number in range(30)]
    untold = [study(number, split="train", text=NO_REPORT) for number in range(30, 60)]
    train, val = training_rows(write([*told, *untold, study(60, split="val", text=NO_REPORT)]))
    assert len(train) + len(val) == 30
    assert set(train.patient_ids) | set(val.patient_ids) == {f"p{number}" for number in range(30)}
    with pytest.raises(CallError, match=r"no image of the train split has a report.*not trained on"):
        training_rows(write(untold, "images"))


def test_the_card_counts_images_studies_patients_and_findings(write, study):
    studies = [
        study(1, patient_id="p", views=("PA", "lateral"), split="train", labels={"mass": 1}),
        study(2, patient_id="p", split="train", labels={"mass": 0}),
        study(3, split="test", labels={"mass": -1}),
    ]
    card = write(studies, findings=["mass"]).card
    assert (card["images"], card["studies"], card["patients"]) == (4, 3, 2)
    counts = {"present": 2, "absent": 1, "uncertain": 0}
    assert card["splits"]["train"] == {"images": 3, "studies": 2, "patients": 1, "findings": {"mass": counts}}
    assert list(card["splits"]) == ["train", "test"]


def test_two_runs_write_the_same_bytes(write, study):
    studies = [study(number, labels={"mass": number % 2}) for number in range(20)]
    folders = [write(studies, name, findings=["mass"]).path for name in ("one", "two")]
    assert files_of(folders[0]) == files_of(folders[1])


@pytest.mark.parametrize(
    "change", [{"text": "Other."}, {"sex": "F"}, {"labels": {"mass": 0}}, {"images": "other"}]
)
def test_the_content_hash_sees_every_change(write, study, grey, change):
    if "images" in change:
        change = {"images": (StudyImage(image=encode_image(grey[::-1].copy()), view="PA"),)}
    cards = [
        write([study(1, **fields)], f"c{len(fields)}", findings=["mass"]).card for fields in ({}, change)
    ]
    assert cards[0]["sha256"] != cards[1]["sha256"]


def test_plain_datasets_opens_the_folder(write, study, grey):
    import datasets

    corpus = write([study(1, labels={"mass": 1}, split="train"), study(2, split="train")], findings=["mass"])
    opened = datasets.load_from_disk(str(corpus.path))
    assert opened.column_names == corpus.table.column_names
    assert opened["text"][:] == ["Clear lungs."] * 2
    assert opened[0]["labels"] == {"mass": 1}
    np.testing.assert_array_equal(decode_image(opened[1]["image"]), grey)
    assert sorted(path.name for path in corpus.path.iterdir()) == sorted(files_of(corpus.path))


def test_plain_datasets_opens_a_corpus_without_findings(write, study):
    import datasets

    opened = datasets.load_from_disk(str(write([study()]).path))
    assert opened[0]["study_id"] == "s1"


def test_rows_are_selected_by_position(write, study):
    studies = [study(number, split="train", labels={"mass": number % 2}) for number in range(600)]
    rows = write(studies, findings=["mass"]).split("train").select([599, 0, 300]).select([2, 0])
    assert rows.study_ids == ["s300", "s599"]
    np.testing.assert_array_equal(rows.labels, [[0], [1]])


def test_every_row_finds_its_own_image_over_many_batches(write, study):
    images = [encode_image(np.full((2, 2), number % 256, np.uint8)) for number in range(700)]
    studies = [study(n, split="train", images=(StudyImage(image=image),)) for n, image in enumerate(images)]
    rows = write(studies).split("train")
    assert [rows.image(i)[0, 0] for i in range(700)] == [number % 256 for number in range(700)]


def test_pickled_rows_are_small_and_still_read_the_corpus(write, study):
    rows = write([study(number, split="train") for number in range(300)]).split("train")
    assert rows.image(7) is not None
    assert rows.texts
    copy = pickle.dumps(rows)
    assert len(copy) < 10_000
    np.testing.assert_array_equal(pickle.loads(copy).image(7), rows.image(7))


def test_an_unknown_split_is_answered_with_those_there_are(write, study):
    with pytest.raises(CallError, match="no split `tset` in the corpus; it has train, test"):
        write([study(1, split="train"), study(2, split="test")]).split("tset")


def test_an_unknown_column_or_finding_is_a_call_error(write, study):
    rows = write([study(split="train")], findings=["mass"]).split("train")
    with pytest.raises(CallError, match="no column `label`"):
        rows.column("label")
    with pytest.raises(CallError, match="no finding `Mass` in the corpus; it has mass"):
        rows.mask(0, "Mass")


def test_a_corpus_may_hold_lateral_images_only(write, study, grey):
    corpus = write([study(number, views=("lateral",), split="train") for number in range(3)])
    assert corpus.split("train").views == ["lateral"] * 3
    np.testing.assert_array_equal(corpus.split("train").image(2), grey)


def test_a_corpus_without_a_split_to_validate_on_gets_one_of_a_single_patient_at_least(write, study):
    corpus = write([study(1, split="train"), study(2, split="train"), study(3, split="test")])
    assert corpus.splits == ("train", "test")
    train, val = training_rows(corpus)
    assert sorted(train.patient_ids + val.patient_ids) == ["p1", "p2"]


@pytest.mark.parametrize("state", [1, 0, -1])
def test_a_finding_may_have_one_state_only(write, study, state):
    corpus = write([study(n, labels={"mass": state}, split="train") for n in range(4)], findings=["mass"])
    np.testing.assert_array_equal(corpus.split("train").labels, [[state]] * 4)
    counts = corpus.card["splits"]["train"]["findings"]["mass"]
    assert [counts["absent"], counts["present"], counts["uncertain"]][state] == sum(counts.values()) == 4


def test_a_finding_may_be_stated_nowhere(write, study):
    corpus = write([study(split="train")], findings=["mass"])
    assert np.isnan(corpus.labels).all()


def test_a_split_of_the_sources_own_name_is_kept_and_counted(write, study):
    card = write([study(1, split="train"), study(2, split="External"), study(3, split="val")]).card
    assert {name: split["images"] for name, split in card["splits"].items()} == {
        "train": 1,
        "val": 1,
        "external": 1,
    }
    assert list(card["splits"]) == ["train", "val", "external"]


def test_regions_are_masks_or_else_boxes_and_never_empty(write, study):
    mask = np.zeros((6, 4), np.uint8)
    mask[1, 2] = 255
    boxes = {"mass": (0, 0, 4, 6), "nodule": (0.5, 1, 1.2, 3, 2, 4, 9, 9), "fracture": (5, 5, 9, 9)}
    image = StudyImage(
        image=encode_image(np.zeros((6, 4), np.uint8)),
        masks={"mass": encode_image(mask), "edema": encode_image(0 * mask)},
        boxes={name: tuple(map(float, edges)) for name, edges in boxes.items()},
    )
    findings = ["mass", "edema", "nodule", "fracture", "effusion"]
    regions = write([study(images=(image,), split="train")], findings=findings).split("train").regions(0)
    assert set(regions) == {"mass", "nodule"}
    np.testing.assert_array_equal(regions["mass"], mask > 0)
    expected = np.zeros((6, 4), bool)
    expected[1:3, 0:2] = expected[4:6, 2:4] = True
    np.testing.assert_array_equal(regions["nodule"], expected)
