"""ROCOv2, from a tiny tree of its layout, with made-up captions."""

import csv

import pytest

from medistill.data.corpus import open_corpus, training_rows
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import RocoSource
from medistill.data.study import Reject, Study
from medistill.errors import CallError

COUNTS = {"train": 4, "valid": 2, "test": 2}
HEADER = ("ID", "Caption")


def name(split, number):
    return f"ROCOv2_2023_{split}_{number:06d}"


def write_captions(tree, split, rows):
    with (tree / f"{split}_captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


def captions(split):
    return [(name(split, number), f"Phantom {number}, frontal view") for number in range(COUNTS[split])]


@pytest.fixture
def tree(tmp_path):
    pictures = (study.images[0].image for study in phantom_studies(sum(COUNTS.values())))
    for split in COUNTS:
        write_captions(tmp_path, split, captions(split))
        (tmp_path / split).mkdir()
        for image, _ in captions(split):
            (tmp_path / split / f"{image}.jpg").write_bytes(next(pictures))
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(RocoSource(path=path, **options).open()))


def test_each_image_is_a_study_with_its_caption_in_the_published_split(tree):
    items = read(tree)
    assert [item.split for item in items] == ["train"] * 4 + ["valid"] * 2 + ["test"] * 2
    assert [item.study_id for item in items[:4]] == [name("train", number) for number in range(4)]
    assert items[1].text == "Phantom 1, frontal view"
    assert len({item.patient_id for item in items}) == 8


def test_it_can_be_trained_on_and_validated_on_its_own_split(tree):
    card = prepare(RocoSource(path=tree), tree / "corpus")
    corpus = open_corpus(tree / "corpus")
    assert card["findings"] == []
    assert corpus.splits == ("train", "val", "test")
    train, val = training_rows(corpus)
    assert (len(train), len(val)) == (4, 2)


@pytest.mark.parametrize("folder", ["{}_images", "{}_images/{}"])
def test_archives_may_be_unpacked_in_folders_of_their_own(tree, folder):
    for split in COUNTS:
        place = tree / folder.format(split, split)
        place.parent.mkdir(exist_ok=True)
        (tree / split).rename(place)
    assert all(isinstance(item, Study) for item in read(tree))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((name("valid", 1), " . "), "empty text"),
        ((name("valid", 1), ""), "empty text"),
        (("", "Phantom"), "no ID"),
        ((name("valid", 0), "Phantom"), "listed before"),
        ((name("valid", 9), "Phantom"), "no such image file"),
        ((name("valid", 1),), "1 cells where the header has 2"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_reason(tree, row, reason):
    write_captions(tree, "valid", [captions("valid")[0], row])
    reject = read(tree)[5]
    assert (reject.row, reject.reason) == (6, reason)


def test_an_image_in_two_splits_is_an_error(tree):
    write_captions(tree, "test", [(name("train", 0), "Phantom"), *captions("test")])
    with pytest.raises(CallError, match=r"1 patient\(s\) are in two splits by the three tables of captions"):
        read(tree)


@pytest.mark.parametrize("split", COUNTS)
def test_a_table_or_column_that_is_missing_is_named(tree, split):
    path = tree / f"{split}_captions.csv"
    path.write_text(path.read_text().replace("Caption", "caption"))
    with pytest.raises(CallError, match=f"{split}_captions.csv has no column `Caption`; it has ID"):
        read(tree)
    path.unlink()
    with pytest.raises(CallError, match=f"no {split}_captions.csv in"):
        read(tree)
