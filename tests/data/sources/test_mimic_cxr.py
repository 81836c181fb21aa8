"""MIMIC-CXR-JPG on a tiny tree of its published layout, with made-up reports."""

import csv
import gzip

import pytest

from medistill.data.corpus import open_corpus
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare, studies
from medistill.data.sources import MimicCxrSource
from medistill.data.sources.parts.subset import TASKS
from medistill.data.study import NO_REPORT, Reject
from medistill.errors import CallError, MedistillError

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old with cough

 FINDINGS:

 The lungs are clear.  No effusion
 is seen.

 IMPRESSION:

 No acute disease.
"""
METADATA = ("dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime")
IMAGES = [
    ("aaa", "10000032", "50414267", "PA", "20", "20", "21800506", "213014.5"),
    ("bbb", "10000032", "50414267", "LATERAL", "20", "20", "21800506", "213014.5"),
    ("ccc", "10000032", "53189527", "LL", "20", "20", "21800626", "165500.3"),
    ("ddd", "10001217", "51127679", "AP", "20", "20", "21580315", "80142.1"),
    ("eee", "11000011", "51029426", "", "20", "20", "21260310", "80142.1"),
]
SPLITS = {"50414267": "train", "53189527": "train", "51127679": "validate", "51029426": "test"}


def write_table(path, header, rows, opened=gzip.open):
    with opened(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def tree(tmp_path):
    pictures = [study.images[0].image for study in phantom_studies(len(IMAGES))]
    for picture, (image, subject, study, *_) in zip(pictures, IMAGES, strict=True):
        folder = tmp_path / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{image}.jpg").write_bytes(picture)
        folder.with_suffix(".txt").write_text(REPORT)
    write_table(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, IMAGES)
    split = [(image, study, subject, SPLITS[study]) for image, subject, study, *_ in IMAGES]
    write_table(
        tmp_path / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), split
    )
    labels = [("10000032", "50414267", "1.0", ""), ("10001217", "51127679", "-1.0", "0.0")]
    header = ("subject_id", "study_id", "Edema", "Pleural Effusion")
    write_table(tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz", header, labels)
    return tmp_path


def read(path, **options):
    return list(studies(MimicCxrSource(path=path, **options).open()))


def test_studies_come_with_all_their_images_and_sections(tree):
    first, second, *_ = read(tree)
    assert (first.study_id, first.patient_id, first.split) == ("s50414267", "p10000032", "train")
    assert [image.view for image in first.images] == ["PA", "lateral"]
    assert first.findings == "The lungs are clear. No effusion is seen."
    assert first.impression == "No acute disease."
    assert first.text == f"{first.findings} {first.impression}"
    assert first.date.isoformat() == "2180-05-06"
    assert [image.view for image in second.images] == ["lateral"]


def test_the_split_is_the_official_one(tree, tmp_path):
    prepare(MimicCxrSource(path=tree), tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.split("val").patient_ids == ["p10001217"]
    assert corpus.split("test").patient_ids == ["p11000011"]
    assert corpus.split("test").views == [None]


def test_labels_are_those_of_the_chexpert_table(tree):
    labels = [study.labels for study in read(tree)]
    assert labels == [{"edema": 1}, {}, {"edema": -1, "pleural effusion": 0}, {}]


def test_without_the_chexpert_table_there_are_no_findings(tree):
    (tree / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    assert MimicCxrSource(path=tree).open().findings == ()


def test_reports_may_lie_elsewhere_and_the_impression_alone_be_taken(tree, tmp_path):
    elsewhere = tmp_path / "reports"
    for path in sorted(tree.glob("files/*/*/*.txt")):
        place = elsewhere / path.relative_to(tree)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    found = read(tree, reports=elsewhere, text="impression")
    assert {study.text for study in found} == {"No acute disease."}


def test_what_cannot_be_used_is_rejected_with_its_reason(tree):
    folder = tree / "files" / "p10" / "p10000032"
    (folder / "s50414267.txt").unlink()
    (folder / "s53189527.txt").write_text("FINAL REPORT")
    (tree / "files" / "p10" / "p10001217" / "s51127679" / "ddd.jpg").unlink()
    write_table(tree / "mimic-cxr-2.0.0-split.csv.gz", ("study_id", "split"), list(SPLITS.items())[:3])
    found = read(tree)
    assert {item.path: item.reason for item in found if isinstance(item, Reject)} == {
        "aaa": "no report: its text file is not there",
        "bbb": "no report: its text file is not there",
        "ccc": "empty text",
        "files/p10/p10001217/s51127679/ddd.jpg": "no such image file",
        "eee": "not in the table of splits",
    }


@pytest.mark.parametrize("name", ["metadata", "split"])
def test_a_table_that_is_missing_is_named(tree, name):
    (tree / f"mimic-cxr-2.0.0-{name}.csv.gz").unlink()
    with pytest.raises(CallError, match=f"no mimic-cxr-2.0.0-{name}.csv.gz"):
        read(tree)


def test_a_column_that_is_missing_is_named(tree):
    write_table(tree / "mimic-cxr-2.0.0-split.csv.gz", ("study_id", "part"), [])
    with pytest.raises(CallError, match="no column `split`"):
        read(tree)


def test_unpacked_tables_do_too(tree):
    for path in tree.glob("*.csv.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(read(tree)) == 4


@pytest.mark.parametrize("data", [b"dicom_id,study_id", b"\x1f\x8b\x08\x00"])
def test_a_broken_archive_is_one_line(tree, data):
    (tree / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(data)
    with pytest.raises(MedistillError, match="fetch it again"):
        read(tree)


def test_reports_that_are_nowhere_are_asked_for(tree, tmp_path):
    with pytest.raises(CallError, match="--reports"):
        read(tree, reports=tmp_path / "nowhere")


SPLIT_COLUMNS = ("dicom_id", "study_id", "subject_id", "split")


@pytest.fixture
def many(tree):
    """205 subjects of each task alone, each with a lateral and two frontal images in two studies; the second
    study is of another task. Of each task, 3 are to validate and 2 to test on. No images, no reports."""
    images, splits, labels = list(IMAGES), [], []
    for number in range(5 * 205):
        subject, task = str(12000000 + number), number // 205
        split = {0: "validate", 1: "validate", 2: "validate", 3: "test", 4: "test"}.get(number % 205, "train")
        for study, view, kind in ((1, "LATERAL", 0), (1, "PA", 0), (2, "AP", 1)):
            images.append(
                (f"{number}-{view}", subject, f"{number}{study}", view, "20", "20", "21800101", "1")
            )
            splits.append((images[-1][0], f"{number}{study}", subject, split))
            stated = [1.0 if task == (other + kind) % 5 else "" for other in range(5)]
            if view != "LATERAL":
                labels.append((subject, f"{number}{study}", *stated, -1.0))
    splits += [(image, study, subject, SPLITS[study]) for image, subject, study, *_ in IMAGES]
    header = ("subject_id", "study_id", *(task.title() for task in TASKS), "Fracture")
    write_table(tree / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, images)
    write_table(tree / "mimic-cxr-2.0.0-split.csv.gz", SPLIT_COLUMNS, splits)
    write_table(tree / "mimic-cxr-2.0.0-chexpert.csv.gz", header, labels)
    return tree


def subset_of(reading, name):
    drafts = [unit for unit in reading.units if not isinstance(unit, Reject)]
    return [draft for draft in drafts if draft.study.split == name]


def test_the_5x200_subset_is_a_split_with_one_first_frontal_image_a_patient(many):
    reading = MimicCxrSource(path=many, subset_seed=42).open()
    chosen = subset_of(reading, "5x200-seed-42")
    assert [len(draft.files) for draft in chosen] == [1] * 1000
    assert {draft.files[0].view for draft in chosen} == {"PA"}
    assert len({draft.study.patient_id for draft in chosen}) == 1000
    assert reading.notes["subset"]["classes"] == dict.fromkeys(TASKS, 200)
    assert "DLILP" in reading.notes["subset"]["rule"]
    of_task = [[draft.study.labels.get(task) for draft in chosen].count(1) for task in TASKS]
    assert of_task == [200] * 5


def test_nothing_else_of_the_patients_of_the_subset_is_in_any_split(many):
    units = list(MimicCxrSource(path=many, subset_seed=42).open().units)
    aside = [unit for unit in units if isinstance(unit, Reject) and unit.skipped]
    assert {unit.reason for unit in aside} == {"another image of a patient of the 5x200 subset"}
    assert len(aside) == 2 * 1000
    kept = [unit.study for unit in units if not isinstance(unit, Reject)]
    assert {study.split for study in kept} == {"5x200-seed-42", "train", "validate", "test"}
    assert len({(study.patient_id, study.split) for study in kept}) == len(
        {study.patient_id for study in kept}
    )


def test_images_of_the_subset_are_kept_without_a_report_and_others_are_not(many):
    units = list(MimicCxrSource(path=many, subset_seed=42).open().units)
    assert {
        unit.study.text for unit in units if not isinstance(unit, Reject) and "5x200" in unit.study.split
    } == {NO_REPORT}
    missing = [unit for unit in units if isinstance(unit, Reject) and not unit.skipped]
    assert {unit.reason for unit in missing} == {"no report: its text file is not there"}
    assert len(missing) == 3 * 25


def test_the_first_image_of_a_patient_is_the_first_in_the_table_of_splits(many):
    path = many / "mimic-cxr-2.0.0-split.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    write_table(path, header, rows[::-1])
    chosen = subset_of(MimicCxrSource(path=many, subset_seed=42).open(), "5x200-seed-42")
    assert {draft.files[0].view for draft in chosen} == {"AP"}


def test_a_subset_of_validate_and_test_alone_is_smaller_and_says_so(many):
    reading = MimicCxrSource(path=many, subset_seed=7, subset_from="validate+test").open()
    chosen = subset_of(reading, "5x200-validate-test-seed-7")
    assert len(chosen) == 5 * 5
    assert reading.notes["subset"]["classes"] == dict.fromkeys(TASKS, 5)
    assert reading.notes["subset"]["rule"].endswith("of validate and test alone")


def test_the_subset_is_on_the_card(tree, tmp_path):
    header = ("subject_id", "study_id", *(task.title() for task in TASKS))
    rows = [(f"1{n:07d}", f"5{n:07d}", *(1.0 if n == m else "" for m in range(5))) for n in range(5)]
    images = [(f"i{n}", *rows[n][:2], "PA", "20", "20", "21800101", "1") for n in range(5)]
    splits = [(image, study, subject, "test") for image, subject, study, *_ in images]
    for (image, subject, study, *_), drawn in zip(images, phantom_studies(5), strict=True):
        folder = tree / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        folder.mkdir(parents=True)
        (folder / f"{image}.jpg").write_bytes(drawn.images[0].image)
    write_table(tree / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, [*IMAGES, *images])
    known = [(image, study, subject, SPLITS[study]) for image, subject, study, *_ in IMAGES]
    write_table(tree / "mimic-cxr-2.0.0-split.csv.gz", SPLIT_COLUMNS, [*known, *splits])
    write_table(tree / "mimic-cxr-2.0.0-chexpert.csv.gz", header, rows)
    card = prepare(MimicCxrSource(path=tree, subset_seed=0, subset_from="validate+test"), tmp_path / "corpus")
    name = "5x200-validate-test-seed-0"
    assert card["made_with"]["subset"] == card["subset"]["name"] == name
    assert card["subset"]["classes"] == dict.fromkeys(TASKS, 1)
    assert len(open_corpus(tmp_path / "corpus").split(name)) == 5
    assert MimicCxrSource(path=tree).made_with()["subset"] is None


def test_a_subset_of_too_few_is_an_error(tree):
    header = ("subject_id", "study_id", *(task.title() for task in TASKS))
    write_table(tree / "mimic-cxr-2.0.0-chexpert.csv.gz", header, [])
    with pytest.raises(
        CallError, match=r"0 patients' first frontal images show atelectasis alone.*takes 200"
    ):
        read(tree, subset_seed=0)
    with pytest.raises(CallError, match="atelectasis alone, and the 5x200 subset takes 1"):
        read(tree, subset_seed=0, subset_from="validate+test")


def test_a_subset_needs_the_table_of_labels_with_the_five_tasks(tree):
    with pytest.raises(CallError, match=r"chexpert.csv.gz has no column `Atelectasis`; it has subject_id"):
        read(tree, subset_seed=0)
    (tree / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(CallError, match=r"no mimic-cxr-2\.0\.0-chexpert\.csv"):
        read(tree, subset_seed=0)


def test_studies_that_a_data_frame_gave_decimals_say_how_many_would_match(tree):
    rows = [(image, subject, f"{study}.0", *rest) for image, subject, study, *rest in IMAGES]
    write_table(tree / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, rows)
    reasons = {item.reason for item in studies(MimicCxrSource(path=tree).open())}
    assert reasons == {"not in the table of splits; 4 of 4 such would match if decimals were ignored"}
