"""CheXpert and the reports of CheXpert Plus, from a tiny tree of their layout."""

import csv

import pytest

from medistill.data.corpus import open_corpus, training_rows
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import ChexpertSource
from medistill.data.sources.chexpert import LABELS
from medistill.data.sources.parts.subset import TASKS
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError

HEADER = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
STATED = {"Cardiomegaly": "1.0", "Edema": "-1.0", "Fracture": "0.0"}
ROWS = (
    ("train", "patient00001/study1/view1_frontal.jpg", "Female", "68", "Frontal", "AP"),
    ("train", "patient00002/study1/view1_frontal.jpg", "Male", "40", "Frontal", "PA"),
    ("train", "patient00002/study1/view2_lateral.jpg", "Male", "40", "Lateral", ""),
    ("train", "patient00002/study2/view1_frontal.jpg", "Male", "41", "Frontal", "AP"),
    ("valid", "patient64541/study1/view1_frontal.jpg", "Male", "73", "Frontal", "AP"),
)
REPORTS = (
    ("train/patient00001/study1/view1_frontal.jpg", "Large heart.", "Heart failure"),
    ("train/patient00002/study1/view1_frontal.jpg", "", "\nNo change.\n"),
    ("train/patient00002/study1/view2_lateral.jpg", "", "\nNo change.\n"),
    ("valid/patient64541/study1/view1_frontal.jpg", "Clear.", ""),
)


def write_table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def tree(tmp_path):
    """Three patients with five images, the small release's paths, and two studies of the test set."""
    root = tmp_path / "CheXpert-v1.0-small"
    root.mkdir()
    pictures = (study.images[0].image for study in phantom_studies(10))
    stated = [STATED.get(label, "") for label in LABELS]
    for name in ("train", "valid"):
        rows = [(f"CheXpert-v1.0-small/{s}/{file}", *rest, *stated) for s, file, *rest in ROWS if s == name]
        write_table(root / f"{name}.csv", HEADER, rows)
    test = [("CheXpert-v1.0/test/patient64741/study1", *["0"] * 13, "1")]
    test += [("CheXpert-v1.0/test/patient64742/study1", "1", *["0"] * 13)]
    write_table(root / "groundtruth.csv", ("Study", *LABELS), test)
    files = [f"{split}/{file}" for split, file, *_ in ROWS]
    files += [
        f"test/patient6474{n}/study1/view{v}.jpg"
        for n, v in ((1, "1_frontal"), (1, "2_lateral"), (2, "1_frontal"))
    ]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(next(pictures))
    return root


@pytest.fixture
def reports(tmp_path):
    """The table of CheXpert Plus, which has none of patient00002's second study."""
    path = tmp_path / "df_chexpert_plus_240401.csv"
    write_table(
        path,
        ("path_to_image", "section_findings", "section_impression", "split"),
        [(*r, "-") for r in REPORTS],
    )
    return path


def read(path, **options) -> list[Study | Reject]:
    return list(studies(ChexpertSource(path=path, **options).open()))


def test_patients_studies_and_splits_are_those_of_the_paths(tree):
    items = read(tree)
    assert [(item.patient_id, item.study_id, item.split) for item in items[:5]] == [
        ("patient00001", "train/patient00001/study1", "train"),
        ("patient00002", "train/patient00002/study1", "train"),
        ("patient00002", "train/patient00002/study1", "train"),
        ("patient00002", "train/patient00002/study2", "train"),
        ("patient64541", "valid/patient64541/study1", "valid"),
    ]
    assert [item.images[0].view for item in items[:5]] == ["AP", "PA", "lateral", "AP", "AP"]
    assert [(item.sex, item.age) for item in items[:2]] == [("F", 68.0), ("M", 40.0)]


def test_an_empty_label_is_not_stated(tree):
    assert read(tree)[0].labels == {"cardiomegaly": 1, "edema": -1, "fracture": 0}


def test_the_test_set_is_read_by_study_where_it_is_at_hand(tree):
    first, second = read(tree)[5:]
    assert (first.split, first.patient_id, [image.view for image in first.images]) == (
        "test",
        "patient64741",
        [None, "lateral"],
    )
    assert first.labels["support devices"] == 1
    assert len(first.labels) == 14
    assert second.labels["no finding"] == 1
    (tree / "groundtruth.csv").unlink()
    assert {item.split for item in read(tree)} == {"train", "valid"}


def test_without_reports_it_can_be_evaluated_on_but_not_trained_on(tree):
    prepare(ChexpertSource(path=tree), tree / "corpus")
    corpus = open_corpus(tree / "corpus")
    assert corpus.splits == ("train", "val", "test")
    assert set(corpus.split("test").texts) == {NO_REPORT}
    with pytest.raises(CallError, match="no image of the train split has a report"):
        training_rows(corpus)


def test_the_reports_of_chexpert_plus_are_the_texts(tree, reports):
    items = read(tree, reports=reports)
    assert [item.text for item in items[:3]] == ["Large heart. Heart failure", "No change.", "No change."]
    assert (items[0].findings, items[0].impression) == ("Large heart.", "Heart failure")
    assert (items[1].findings, items[1].impression) == (None, "No change.")
    assert items[4].text == "Clear."


def test_an_image_to_train_on_without_a_report_is_rejected_and_one_to_test_on_is_not(tree, reports):
    items = read(tree, reports=reports)
    assert (items[3].row, items[3].reason) == (4, "no report in the table of --reports")
    assert items[5].text == NO_REPORT


def test_with_reports_it_can_be_trained_on(tree, reports):
    prepare(ChexpertSource(path=tree, reports=reports), tree / "corpus", allow_rejects=True)
    train, val = training_rows(open_corpus(tree / "corpus"))
    assert (len(train), len(val)) == (3, 1)
    assert open_corpus(tree / "corpus").card["made_with"]["reports"] is True
    assert str(reports) not in (tree / "corpus" / "card.json").read_text()


def test_the_batches_of_the_full_download_are_read_as_they_are(tree):
    first = tree / "CheXpert-v1.0 batch 1 (validate & csv)"
    first.mkdir()
    for name in ("train.csv", "valid.csv", "valid"):
        (tree / name).rename(first / name)
    for number, patient in ((1, "patient00001"), (2, "patient00002")):
        batch = tree / f"CheXpert-v1.0 batch {number + 1} (train {number})"
        batch.mkdir()
        (tree / "train" / patient).rename(batch / patient)
    items = read(tree)
    assert len(items) == 7
    assert all(isinstance(item, Study) for item in items)


def test_an_image_that_is_not_there_is_rejected_by_its_row(tree):
    (tree / "valid/patient64541/study1/view1_frontal.jpg").unlink()
    reject = read(tree)[4]
    assert (reject.row, reject.reason) == (5, "no such image file")


def test_a_study_of_the_test_set_without_images_is_rejected(tree):
    (tree / "test/patient64742/study1/view1_frontal.jpg").unlink()
    reject = read(tree)[6]
    assert (reject.row, reject.reason) == (7, "no image of the study")


@pytest.mark.parametrize("name", ["train.csv", "valid.csv"])
def test_a_table_that_is_missing_is_named(tree, name):
    (tree / name).unlink()
    with pytest.raises(CallError, match=rf"no {name} in .*: name the folder"):
        read(tree)


@pytest.mark.parametrize("name", ["train.csv", "valid.csv", "groundtruth.csv"])
def test_a_label_column_that_is_missing_is_named(tree, name):
    path = tree / name
    path.write_text(path.read_text().replace("Pleural Other", "Pleural"))
    with pytest.raises(CallError, match=f"{name} has no column `Pleural Other`; it has "):
        read(tree)


def test_a_patient_in_two_tables_is_an_error_before_an_image_is_read(tree):
    path = tree / "valid.csv"
    path.write_text(path.read_text().replace("patient64541", "patient00001"))
    with pytest.raises(CallError, match=r"1 patient\(s\) are in two splits by the paths in the tables"):
        ChexpertSource(path=tree).open()


def test_a_path_of_another_form_is_rejected(tree):
    path = tree / "valid.csv"
    path.write_text(path.read_text().replace("valid/patient64541/study1/", "somewhere/"))
    assert read(tree)[4].reason == "Path is not split/patient/study/file"


def test_a_table_of_reports_that_is_none_is_refused(tree, reports):
    with pytest.raises(CallError, match=r"train.csv has no column `path_to_image`; it has none of those"):
        read(tree, reports=tree / "train.csv")
    write_table(
        reports, ("path_to_image", "section_findings", "section_impression"), [("a.jpg", "Clear.", "")]
    )
    with pytest.raises(CallError, match=r"no row of df_chexpert_plus_240401.csv names an image and says"):
        read(tree, reports=reports)


@pytest.fixture
def many(tree):
    """205 images of each task alone, two a patient, one in ten with a lateral one."""
    rows = []
    for number in range(5 * 205):
        task = TASKS[number // 205]
        stated = [
            "1.0" if label.lower() == task else ("0.0" if label == "Fracture" else "") for label in LABELS
        ]
        views = (("view1_frontal", "Frontal"), ("view2_lateral", "Lateral"))
        for view, kind in views if number % 10 == 0 else views[:1]:
            path = f"CheXpert-v1.0-small/train/patient{90000 + number // 2}/study{number % 2 + 1}/{view}.jpg"
            rows.append((path, "Male", "50", kind, "AP" if kind == "Frontal" else "", *stated))
    with (tree / "train.csv").open("a", newline="") as file:
        csv.writer(file).writerows(rows)
    return tree


def test_the_5x200_subset_is_a_split_whose_patients_are_not_trained_on(many):
    reading = ChexpertSource(path=many, subset_seed=3).open()
    assert reading.notes["subset"]["classes"] == dict.fromkeys(TASKS, 200)
    units = list(reading.units)
    drafts = [unit.study for unit in units if not isinstance(unit, Reject)]
    chosen = [study for study in drafts if study.split == "5x200-seed-3"]
    assert len(chosen) == 1000
    assert [sum(study.labels[task] == 1 for study in chosen if task in study.labels) for task in TASKS] == [
        200
    ] * 5
    trained = {study.patient_id for study in drafts if study.split == "train"}
    assert trained
    assert not trained & {study.patient_id for study in chosen}
    assert {(unit.reason, unit.skipped) for unit in units if isinstance(unit, Reject)} == {
        ("another image of a patient of the 5x200 subset", True)
    }
    assert len(units) == 7 + 5 * 205 + 103


def test_images_of_the_subset_are_kept_without_a_report(many, reports):
    units = ChexpertSource(path=many, subset_seed=0, reports=reports).open().units
    chosen = [
        unit.study for unit in units if not isinstance(unit, Reject) and unit.study.split == "5x200-seed-0"
    ]
    assert len(chosen) == 1000
    assert {study.text for study in chosen} == {NO_REPORT}


def test_the_card_names_the_subset_by_its_seed(tree):
    assert ChexpertSource(path=tree, subset_seed=3).made_with()["subset"] == "5x200-seed-3"
    assert ChexpertSource(path=tree).made_with()["subset"] is None


def test_too_few_images_for_the_subset_are_an_error(tree):
    with pytest.raises(CallError, match=r"0 frontal training images show atelectasis alone.*whole train.csv"):
        ChexpertSource(path=tree, subset_seed=0).open()


def test_reports_named_by_another_spelling_say_how_many_would_match(tree, reports):
    reports.write_text(
        reports.read_text().replace("patient00001", "PATIENT00001").replace("patient", "Patient")
    )
    text = reports.read_text().replace("train/PATIENT00001/", "train/patient1/")
    reports.write_text(text.replace("Patient", "patient"))
    items = read(tree, reports=reports)
    assert "such would match if leading zeros were ignored" in items[0].reason


def test_paths_with_backslashes_are_read(tree):
    path = tree / "train.csv"
    path.write_text(
        path.read_text()
        .replace("/", "\\")
        .replace("Frontal\\Lateral", "Frontal/Lateral")
        .replace("AP\\PA", "AP/PA")
    )
    assert all(isinstance(item, Study) for item in read(tree))
