"""COVIDx CXR, from a tiny tree of its layout."""

import pytest

from medistill.data.corpus import open_corpus
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import CovidxSource
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError, MedistillError

LISTS = {
    "train": ("5 a.png negative cohen", "101 b.jpg positive cohen", "101 c 1.jpg positive cohen"),
    "val": ("101 d.png negative actmed", "S3 e.png positive bimcv"),
    "test": ("419639-1 f.png positive ricord", "47c78742 47c78742.png negative rsna"),
}


def write_list(tree, split, lines):
    (tree / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def tree(tmp_path):
    """Seven images; two sources have a patient 101, and one file has a space in its name."""
    pictures = (study.images[0].image for study in phantom_studies(7))
    for split, lines in LISTS.items():
        write_list(tmp_path, split, lines)
        (tmp_path / split).mkdir()
        for line in lines:
            (tmp_path / split / " ".join(line.split()[1:-2])).write_bytes(next(pictures))
    return tmp_path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(CovidxSource(path=path, **options).open()))


def test_each_line_is_a_study_of_its_list_without_a_report(tree):
    items = read(tree)
    assert [item.split for item in items] == ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    assert [item.labels for item in items] == [{"covid-19": state} for state in (0, 1, 1, 0, 1, 1, 0)]
    assert {item.text for item in items} == {NO_REPORT}
    assert CovidxSource(path=tree).open().findings == ("covid-19",)


def test_patients_of_two_sources_are_two_patients(tree):
    patients = [item.patient_id for item in read(tree)]
    assert patients[:4] == ["cohen 5", "cohen 101", "cohen 101", "actmed 101"]


def test_lists_of_three_classes_state_three_findings(tree):
    write_list(
        tree, "train", ["5 a.png normal cohen", "101 b.jpg COVID-19 cohen", "7 c 1.jpg pneumonia cohen"]
    )
    reading = CovidxSource(path=tree).open()
    assert reading.findings == ("covid-19", "other pneumonia", "normal")
    assert [list(unit.study.labels.values()) for unit in list(reading.units)[:3]] == [
        [0, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
    ]


def test_a_release_without_a_validation_list_is_read_as_well(tree):
    (tree / "val.txt").unlink()
    prepare(CovidxSource(path=tree), tree / "corpus")
    assert open_corpus(tree / "corpus").splits == ("train", "test")


def test_of_a_patient_in_two_lists_what_is_tested_on_is_kept(tree):
    write_list(tree, "test", [*LISTS["test"], "101 g.png positive cohen"])
    (tree / "test" / "g.png").write_bytes((tree / "test" / "f.png").read_bytes())
    items = read(tree)
    aside = [(item.path, item.reason, item.skipped) for item in items if isinstance(item, Reject)]
    assert aside == [
        (f"train/{name}", "the patient is in test.txt too", True) for name in ("b.jpg", "c 1.jpg")
    ]
    assert [item.split for item in items if isinstance(item, Study) and item.patient_id == "cohen 101"] == [
        "test"
    ]


def test_a_line_that_is_there_twice_counts_once(tree):
    write_list(tree, "test", [LISTS["test"][0], *LISTS["test"]])
    reject = read(tree)[6]
    assert (reject.row, reject.reason, reject.path) == (7, "listed before", "test/f.png")


def test_an_image_that_is_not_there_is_rejected(tree):
    (tree / "val" / "e.png").unlink()
    reject = read(tree)[4]
    assert (reject.row, reject.reason) == (5, "no such image file")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_list_that_is_missing_is_named(tree, split):
    (tree / f"{split}.txt").unlink()
    with pytest.raises(CallError, match=rf"no {split}\.txt in .*: name the folder of the published set"):
        read(tree)


@pytest.mark.parametrize(
    "line", ["5 a.png Doe cohen", "a.png negative cohen", "Doe", "5,a.png,negative,cohen"]
)
def test_a_line_that_was_not_published_is_told_by_its_number(tree, line):
    write_list(tree, "val", [LISTS["val"][0], line])
    with pytest.raises(CallError, match=r"val\.txt, line 2: not a patient, a file, one of positive") as error:
        read(tree)
    assert "Doe" not in str(error.value)


def test_a_list_that_is_no_text_is_refused(tree):
    (tree / "train.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(MedistillError, match=r"train\.txt cannot be read as text"):
        read(tree)
