"""MedPix 2.0, from a tiny tree of its layout, with made-up captions."""

import json

import pytest

from medistill.data.corpus import open_corpus, training_rows
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import MedpixSource
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError

CASES = {"train": ("MPX1", "MPX1", "MPX2"), "dev": ("MPX3",), "test": ("MPX4",)}
REGIONS = {"MPX1": "Head", "MPX2": "Thorax", "MPX3": "Head", "MPX4": "Spine and Muscles"}


def entry(case, number, **about):
    described = {"ACR Codes": "1.-1", "Age": "27", "Caption": f"Phantom {number}.", "Figure Part": None}
    described |= {"Modality": "CT - noncontrast", "Plane": "Axial", "Sex": "female"} | about
    return {
        "Type": "CT",
        "U_id": case,
        "image": f"{case}_synpic{number}",
        "Description": described,
        "Location": "Brain and Neuro",
        "Location Category": REGIONS[case],
    }


def entries(split):
    return [entry(case, number) for number, case in enumerate(CASES[split])]


def write_list(tree, split, values):
    path = tree / "splitted_dataset" / f"descriptions_{split}.jsonl"
    path.write_text(
        "".join(f"{value if isinstance(value, str) else json.dumps(value)}\n" for value in values)
    )


@pytest.fixture
def tree(tmp_path):
    pictures = (study.images[0].image for study in phantom_studies(5))
    for folder in ("images", "splitted_dataset"):
        (tmp_path / folder).mkdir()
    for split in CASES:
        write_list(tmp_path, split, entries(split))
        for item in entries(split):
            (tmp_path / "images" / f"{item['image']}.png").write_bytes(next(pictures))
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(MedpixSource(path=path, **options).open()))


def test_each_image_has_its_caption_and_its_case_is_the_patient(tree):
    items = read(tree)
    assert [item.patient_id for item in items] == ["MPX1", "MPX1", "MPX2", "MPX3", "MPX4"]
    assert [item.split for item in items] == ["train"] * 3 + ["dev", "test"]
    assert [item.text for item in items[:3]] == ["Phantom 0.", "Phantom 1.", "Phantom 2."]
    assert (items[0].sex, items[0].age) == ("F", 27.0)


def test_the_region_of_the_body_is_the_label(tree):
    assert MedpixSource(path=tree).open().findings == ("head", "spine and muscles", "thorax")
    first, _, third, *_ = read(tree)
    assert first.labels == {"head": 1, "spine and muscles": 0, "thorax": 0}
    assert third.labels == {"head": 0, "spine and muscles": 0, "thorax": 1}


def test_it_can_be_trained_on_and_validated_on_its_own_split(tree):
    prepare(MedpixSource(path=tree), tree / "corpus")
    corpus = open_corpus(tree / "corpus")
    assert corpus.splits == ("train", "val", "test")
    assert [len(rows) for rows in training_rows(corpus)] == [3, 1]


def test_what_is_not_known_of_the_patient_is_left_empty(tree):
    write_list(tree, "dev", [entry("MPX3", 0, Age=None, Sex="N/A")])
    study = read(tree)[3]
    assert (study.sex, study.age) == (None, None)


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        (None, "empty text"),
        ("N/A", "empty text"),
        ("Replace this - with words.", "a placeholder for a caption"),
        ("IN PROGRESS", "a placeholder for a caption"),
    ],
)
def test_an_image_without_a_caption_is_rejected(tree, caption, reason):
    write_list(tree, "dev", [entry("MPX3", 0, Caption=caption)])
    reject = read(tree)[3]
    assert (reject.row, reject.reason, reject.path) == (4, reason, "MPX3_synpic0")


def test_an_image_that_is_not_there_or_there_twice_is_rejected(tree):
    write_list(tree, "train", [*entries("train"), entry("MPX1", 0)])
    (tree / "images" / "MPX2_synpic2.png").unlink()
    items = read(tree)
    assert [(item.row, item.reason) for item in items if isinstance(item, Reject)] == [
        (3, "no such image file"),
        (4, "listed before"),
    ]


def test_a_case_in_two_splits_is_an_error(tree):
    write_list(tree, "test", [entry("MPX1", 9)])
    with pytest.raises(CallError, match=r"1 patient\(s\) are in two splits by the three lists of descrip"):
        read(tree)


@pytest.mark.parametrize("key", ["U_id", "image", "Description", "Location Category"])
def test_a_key_that_is_missing_is_named(tree, key):
    write_list(tree, "dev", [{name: value for name, value in entry("MPX3", 0).items() if name != key}])
    with pytest.raises(CallError, match=rf"descriptions_dev\.jsonl, line 1: no `{key}`; take it as it was"):
        read(tree)


@pytest.mark.parametrize(
    "line", ["{", "[]", "1", '{"U_id": "Doe", "image": "a", "Description": 1, "Location Category": "Head"}']
)
def test_a_line_that_is_no_description_is_told_by_its_number(tree, line):
    write_list(tree, "test", [*entries("test"), line])
    with pytest.raises(CallError, match=r"descriptions_test\.jsonl, line 2: not a JSON object") as error:
        read(tree)
    assert "Doe" not in str(error.value)


@pytest.mark.parametrize("split", CASES)
def test_a_list_that_is_missing_is_named(tree, split):
    (tree / "splitted_dataset" / f"descriptions_{split}.jsonl").unlink()
    with pytest.raises(CallError, match=rf"no descriptions_{split}\.jsonl in .*: name the folder"):
        read(tree)


def test_a_list_that_is_no_text_is_refused(tree):
    (tree / "splitted_dataset" / "descriptions_dev.jsonl").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(MedistillError, match=r"descriptions_dev\.jsonl cannot be read as text"):
        read(tree)
