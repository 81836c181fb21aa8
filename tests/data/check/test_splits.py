"""What leaks between splits is found and named, and nothing else is."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from medistill.data.check import alike as check_alike
from medistill.data.check.alike import ALIKE, alike_pairs
from medistill.data.check.flag import ACROSS
from medistill.data.check.images import measure_images
from medistill.data.check.look import agreement, look
from medistill.data.check.run import check_corpus
from medistill.data.check.splits import ids_of, splits_of, text_flags
from medistill.data.check.texts import measure_texts
from medistill.data.corpus import open_corpus
from medistill.data.image import decode_image
from tests.planted import as_jpeg, as_png, copy_image, first, phantom_corpus, planted, resized


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return phantom_corpus(tmp_path_factory.mktemp("clean") / "corpus")


@pytest.fixture
def found(clean, tmp_path):
    """The flags, by check, of the clean corpus with something planted."""

    def check(change, corpus=clean):
        flags = check_corpus(planted(corpus, tmp_path / "planted", change)).flags
        return {flag.check: flag for flag in flags}

    return check


def test_a_clean_corpus_is_not_flagged(clean):
    checked = check_corpus(open_corpus(clean))
    assert checked.passed
    assert {flag.check for flag in checked.flags if flag.severity != "note"} <= {
        "labels"
    }  # 40 studies are few


@pytest.mark.parametrize(
    ("check", "column"), [("patients", "patient_id"), ("studies", "study_id")], ids=["patient", "study"]
)
def test_an_id_in_two_splits_is_a_leak_that_names_splits_and_rows(found, check, column):
    places = []

    def plant(rows):
        places.extend((first(rows, "train"), first(rows, "test")))
        rows[places[1]][column] = rows[places[0]][column]

    flag = found(plant)[check]
    assert (flag.severity, flag.count, flag.splits) == ("error", 1, ("train", "test"))
    assert set(places) <= set(flag.cases[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("17", "0017"),
        ("17", " 17 "),
        ("a17", "A17"),
        ("17", "\uff11\uff17"),
        ("10", "10.0"),
        ("10", '"10"'),
        ("P-10", "p_010"),
        ("HOSP\\10", "10"),
        ("123-45-67", "1234567"),
    ],
)
def test_an_id_that_a_table_program_respelled_is_still_the_same(found, one, other):
    def plant(rows):
        rows[first(rows, "train")]["patient_id"] = one
        rows[first(rows, "test")]["patient_id"] = other

    flag = found(plant)["patients"]
    assert (flag.severity, flag.count) == ("error", 1)
    assert "1 of them under ids that differ (" in flag.said


def test_a_study_that_is_spelled_in_two_ways_is_in_two_splits(found):
    def plant(rows):
        rows[first(rows, "train")]["study_id"] = "500"
        rows[first(rows, "test")]["study_id"] = "500.0"

    assert found(plant)["studies"].said == (
        "1 study in train and test, 1 of them under ids that differ (decimals 1)"
    )


def test_spellings_that_lie_in_one_split_are_noted_and_no_id_is_named(found):
    def plant(rows):
        one = first(rows, "train")
        other = next(row for row in range(one + 1, len(rows)) if rows[row]["split"] == "train")
        rows[one]["patient_id"], rows[other]["patient_id"] = "MRN-77", "mrn77"

    flag = found(plant)["patients"]
    assert (flag.severity, flag.count, flag.figures) == ("note", 1, {"case": 1, "separators": 1})
    assert "77" not in flag.said


def test_an_image_in_two_splits_is_identical_whatever_its_file(found):
    flag = found(copy_image(lambda image: as_png(image) + b"more"))["identical_images"]
    assert (flag.severity, flag.count, flag.splits) == ("error", 1, ("train", "test"))
    assert "0 of them byte for byte" in flag.said


def test_the_same_file_in_two_splits_is_told_apart_from_the_same_pixels(found):
    def plant(rows):
        rows[first(rows, "val")]["image"] = rows[first(rows, "train")]["image"]

    assert "1 of them byte for byte" in found(plant)["identical_images"].said


def written_on(image):
    marked = np.clip(image.astype(float) * 1.3 - 20, 0, 255).astype(np.uint8)
    marked[2:10, 4:20:3] = 255
    return marked


ENCODINGS = {
    "jpeg": as_jpeg,
    "poor jpeg": lambda image: as_jpeg(image, 30),
    "half": lambda image: as_jpeg(resized(image, 0.5)),
    "larger": lambda image: as_jpeg(resized(image, 1.5), 85),
    "gamma": lambda image: as_png((255 * (image / 255) ** 0.8).astype(np.uint8)),
    "written on": lambda image: as_png(written_on(image)),
    "negative": lambda image: as_jpeg(255 - image),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_image_encoded_anew_is_near_identical(found, encoding):
    flags = found(copy_image(ENCODINGS[encoding]))
    flag = flags["near_identical_images"]
    assert (flag.severity, flag.count, flag.splits) == ("error", 1, ("train", "test"))
    assert len(flag.cases) == 1
    assert not {"identical_images", "alike_images"} & set(flags)


def test_a_slightly_cropped_image_is_alike_and_not_identical(found, tmp_path):
    crop = copy_image(lambda image: as_png(image[2:-1, 1:-2]))
    flags = found(crop, phantom_corpus(tmp_path / "large", count=25, size=136))
    assert (flags["alike_images"].severity, flags["alike_images"].splits) == ("warning", ("train", "test"))
    assert "near_identical_images" not in flags


def test_small_images_are_not_called_alike(clean, found):
    rows = open_corpus(clean).split("train")
    image = rows.image(0)
    cropped = image[:, :-1]
    assert ALIKE <= agreement(image, cropped) < check_alike.NEAR_IDENTICAL
    assert not set(ACROSS[:5]) & set(found(copy_image(lambda image: as_png(image[:, :-1]))))


def test_copies_within_a_split_and_blank_images_leak_nothing(found):
    def plant(rows):
        train = [row for row in rows if row["split"] == "train"]
        test = [row for row in rows if row["split"] == "test"]
        test[0]["image"] = test[1]["image"]
        test[2]["image"] = as_jpeg(decode_image(test[3]["image"]))
        almost = np.zeros((64, 64), np.uint8)
        almost[:4, :4] = 90
        train[0]["image"] = test[4]["image"] = as_png(almost)
        train[1]["image"] = as_jpeg(almost)

    assert not set(ACROSS[:5]) & set(found(plant))


def test_one_split_has_nothing_to_leak_to(found):
    def plant(rows):
        for row in rows:
            row["split"] = "train"

    assert not set(ACROSS) & set(found(plant))


LONG = "An unusual sail-shaped density overlies the third left rib near a surgical clip from before."


def shared_texts(write, study, texts, *, patients=120, name="corpus"):
    """The flag of a corpus whose training and test patients have texts of their own, but for `texts`."""
    studies = [
        study(number, text=f"Own text {number}.", split="test" if number % 4 == 0 else "train")
        for number in range(patients)
    ]
    for number, text in texts.items():
        studies[number] = replace(studies[number], text=text)
    corpus = write(studies, name)
    flags = text_flags(measure_texts(corpus), ids_of(corpus, "patient_id"), splits_of(corpus))
    return next(iter(flags), None)


def test_a_long_text_of_one_patient_in_each_split_is_named(write, study):
    flag = shared_texts(write, study, {3: LONG, 8: LONG.upper()})
    assert flag.severity == "warning"
    assert flag.cases == ((3, 8),)


@pytest.mark.parametrize(
    ("texts", "patients"),
    [
        ({3: "Normal chest.", 8: "Normal chest."}, 120),
        ({3: LONG, 5: LONG, 8: LONG}, 120),
        ({3: LONG, 8: LONG}, 90),
    ],
    ids=["short", "common", "few patients"],
)
def test_another_text_in_two_splits_is_a_note_with_its_share(write, study, texts, patients):
    flag = shared_texts(write, study, texts, patients=patients)
    assert (flag.severity, flag.cases) == ("note", ())
    assert flag.figures["share"] == pytest.approx(1 / len(range(0, patients, 4)))


def test_where_patients_of_one_split_share_long_texts_by_custom_one_more_is_chance(write, study):
    pairs = {number: f"{LONG} {number % 40 // 2}" for number in range(1, 40, 2)}
    template = {number + 40 * half: text for number, text in pairs.items() for half in (0, 1)}
    assert shared_texts(write, study, template | {3: LONG, 8: LONG}).severity == "note"
    assert shared_texts(write, study, {3: LONG, 8: LONG}, name="again").severity == "warning"


def test_texts_of_one_split_alone_are_not_flagged(write, study):
    assert shared_texts(write, study, {3: LONG, 5: LONG}) is None


def test_the_search_in_blocks_finds_what_a_loop_over_all_pairs_finds(clean, tmp_path, monkeypatch):
    def plant(rows):
        train, test = ([row for row in rows if row["split"] == split] for split in ("train", "test"))
        for number in range(3):
            test[number]["image"] = as_jpeg(decode_image(train[2 * number]["image"]))

    corpus = planted(clean, tmp_path / "planted", plant)
    split, measures = splits_of(corpus).of_row, measure_images(corpus)
    images = [decode_image(corpus.cell("image", row)) for row in range(len(split))]
    looks = np.array([look(image) for image in images], np.float32)
    slow = {
        (one, other)
        for one, other in itertools.permutations(range(len(split)), 2)
        if split[one] < split[other]
        and abs(looks[one] @ looks[other]) >= ALIKE
        and agreement(images[one], images[other]) >= check_alike.NEAR_IDENTICAL
    }
    monkeypatch.setattr(check_alike, "_QUERIES", 3)
    monkeypatch.setattr(check_alike, "_GALLERY", 7)
    pairs = alike_pairs(corpus, measures, split)
    assert {tuple(pair) for pair in pairs.rows.tolist()} == slow
    assert len(slow) >= 3
    assert (np.diff(pairs.score) <= 0).all()
