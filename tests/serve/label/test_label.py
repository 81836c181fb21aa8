"""`medistill label` from prompts: what is in labels.csv, and what is said of it."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from medistill.data.corpus import open_corpus
from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import embed_prompts, template
from medistill.model.fingerprint import model_hash
from medistill.model.saved import load
from medistill.serve.label import label
from medistill.serve.reading import read_image
from medistill.serve.wanted import Wanted
from medistill.system.isolated import GaveUp
from tests.serve.conftest import PROMPTS, shown, write_films, write_german_corpus


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


def truth(rows):
    """What the films show, by their numbers."""
    return np.array([shown(int(re.search(r"film(\d+)", row["image"])[1])) for row in rows])


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(PROMPTS), "utf-8")
    return path


def test_german_prompts_find_what_german_reports_taught(german, prompts, tmp_path):
    label(german.run, tmp_path / "labels.csv", Wanted(prompts=prompts), images=german.films)
    rows = rows_of(tmp_path / "labels.csv")
    present = truth(rows)
    assert roc_auc_score(present[:, 0], column(rows, "uncalibrated/effusion")) > 0.95
    assert roc_auc_score(present[:, 1], column(rows, "uncalibrated/nodule")) > 0.7


def test_figures_of_plain_findings_are_the_cosine_difference_at_the_models_scale(german, tmp_path):
    label(german.run, tmp_path / "labels.csv", Wanted(findings=("nodule",)), images=german.films)
    rows = rows_of(tmp_path / "labels.csv")
    model = load(german.run)
    positive, negative = embed_prompts(model, {"nodule": template("nodule")})
    images = [Image.open(german.films / row["image"]) for row in rows]
    cosines = model.encode_images(images).numpy() @ (positive - negative).T
    np.testing.assert_allclose(
        column(rows, "uncalibrated/nodule"), expit(model.scale * cosines[:, 0]), atol=2e-6
    )


def test_nothing_is_called_a_probability_that_was_not_fitted(german, prompts, tmp_path):
    told = label(german.run, tmp_path / "labels.csv", Wanted(prompts=prompts), images=german.films)
    header = (tmp_path / "labels.csv").read_text().splitlines()[0]
    expected = "image,uncalibrated/effusion,present/effusion,uncalibrated/nodule,present/nodule,unreadable"
    assert header == expected
    for entry in told["findings"].values():
        assert (entry["calibrated"], entry["threshold"], entry["positive"]) == (False, 0.5, None)
        assert "not fitted" in entry["calibration"]


def test_calibration_on_a_labeled_corpus_makes_probabilities(german, prompts, tmp_path):
    out = tmp_path / "labels.csv"
    told = label(german.run, out, Wanted(prompts=prompts, calibrate=german.corpus), images=german.films)
    rows = rows_of(out)
    entry = told["findings"]["effusion"]
    assert entry["calibrated"]
    assert (entry["positive"], entry["negative"]) == (30, 30)
    present = truth(rows)[:, 0]
    calls = column(rows, "present/effusion")
    assert abs(column(rows, "probability/effusion").mean() - present.mean()) < 0.1
    assert (calls == present).mean() > 0.9
    assert ((column(rows, "probability/effusion") >= entry["threshold"]) == (calls == 1)).all()


def test_a_finding_without_enough_validation_patients_stays_uncalibrated(german, prompts, tmp_path):
    few = write_german_corpus(tmp_path / "corpus")
    corpus = open_corpus(few)
    known = corpus.split("val").labels
    assert (known[:, 1] == 1).sum() >= 10
    asked = json.loads(prompts.read_text()) | {"edema": PROMPTS["nodule"]}
    prompts.write_text(json.dumps(asked))
    told = label(
        german.run, tmp_path / "labels.csv", Wanted(prompts=prompts, calibrate=few), images=german.films
    )
    assert {name: entry["calibrated"] for name, entry in told["findings"].items()} == {
        "effusion": True,
        "nodule": True,
        "edema": False,
    }
    assert "0 positive and 0 negative patients" in told["findings"]["edema"]["calibration"]
    assert "uncalibrated/edema" in (tmp_path / "labels.csv").read_text().splitlines()[0]


def test_a_corpus_that_labels_nothing_asked_for_cannot_calibrate(german, tmp_path):
    wanted = Wanted(findings=("edema",), calibrate=german.corpus)
    with pytest.raises(CallError, match=r"no finding of the 1 asked for.*labels effusion, nodule"):
        label(german.run, tmp_path / "labels.csv", wanted, images=german.films)
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_read_are_rows_with_a_reason(german, prompts, tmp_path):
    films = write_films(tmp_path / "films", range(3))
    (films / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\ncut")
    (films / "scan.tif").write_bytes(b"II*\0 and more")
    (films / "empty.dcm").write_bytes(b"")
    (films / "notes.txt").write_text("seen")
    (films / ".hidden.png").write_bytes(b"")
    told = label(german.run, tmp_path / "labels.csv", Wanted(prompts=prompts), images=films)
    rows = {row["image"]: row for row in rows_of(tmp_path / "labels.csv")}
    assert set(rows) == {
        *("broken.png", "empty.dcm", "scan.tif"),
        *("film001.png", "film002.png", "later/film000.png"),
    }
    assert rows["scan.tif"]["unreadable"] == "not a PNG, JPEG or DICOM image but a TIFF image"
    assert rows["broken.png"]["uncalibrated/effusion"] == rows["broken.png"]["present/effusion"] == ""
    assert rows["film001.png"]["unreadable"] == ""
    assert (told["labeled"], told["unreadable"]["count"]) == (3, 3)
    assert told["files_not_taken_for_images"] == {".txt": 1}


def test_dicom_and_jpeg_are_labeled_like_the_same_png(german, prompts, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    films = write_films(tmp_path / "films", range(1, 2))
    pixels = np.asarray(Image.open(films / "film001.png"))
    write_dicom(pydicom, pixels, films / "IM0001")
    Image.fromarray(pixels).save(films / "film.jpg", quality=100)
    label(german.run, tmp_path / "labels.csv", Wanted(prompts=prompts), images=films)
    figures = {row["image"]: float(row["uncalibrated/effusion"]) for row in rows_of(tmp_path / "labels.csv")}
    assert figures["IM0001"] == figures["film001.png"]
    assert abs(figures["film.jpg"] - figures["film001.png"]) < 0.05


def test_a_reason_names_no_flag_that_label_does_not_have(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    write_dicom(pydicom, pixels, tmp_path / "raw.dcm", PresentationIntentType="FOR PROCESSING")
    reason = read_image(tmp_path / "raw.dcm", size=None)
    assert reason == GaveUp("DICOM image is FOR PROCESSING, not for display")


def write_dicom(pydicom, pixels, path, **more):
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.4", "1.2.5"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)


def test_every_row_of_a_corpus_is_labeled_with_its_ids(german, prompts, tmp_path):
    told = label(german.run, tmp_path / "labels.csv", Wanted(prompts=prompts), data=german.corpus)
    rows, corpus = rows_of(tmp_path / "labels.csv"), open_corpus(german.corpus)
    assert [row["study_id"] for row in rows] == corpus.table["study_id"].to_pylist()
    assert [row["patient_id"] for row in rows] == corpus.table["patient_id"].to_pylist()
    assert [row["split"] for row in rows] == corpus.table["split"].to_pylist()
    assert [int(row["row"]) for row in rows] == list(range(160))
    assert told["images"]["sha256"] == corpus.card["sha256"]


def test_an_image_is_labeled_alike_in_a_corpus_and_as_a_file(german, prompts, tmp_path):
    corpus = open_corpus(german.corpus)
    films = tmp_path / "films"
    films.mkdir()
    for row in range(3):
        (films / f"{row}.png").write_bytes(corpus.cell("image", row))
    label(german.run, tmp_path / "a.csv", Wanted(prompts=prompts), data=german.corpus)
    label(german.run, tmp_path / "b.csv", Wanted(prompts=prompts), images=films)
    of_corpus = column(rows_of(tmp_path / "a.csv")[:3], "uncalibrated/effusion")
    np.testing.assert_allclose(
        of_corpus, column(rows_of(tmp_path / "b.csv"), "uncalibrated/effusion"), atol=2e-6
    )


def test_files_are_read_alike_in_processes_of_their_own(german, prompts, tmp_path):
    films = write_films(tmp_path / "films", range(4))
    (films / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\ncut")
    label(german.run, tmp_path / "a.csv", Wanted(prompts=prompts), images=films)
    label(german.run, tmp_path / "b.csv", Wanted(prompts=prompts), images=films, workers=1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_the_sidecar_says_which_model_and_prompts_and_how_many_images(german, prompts, tmp_path):
    told = label(german.run, tmp_path / "labels.csv", Wanted(prompts=prompts), images=german.films)
    assert json.loads((tmp_path / "labels.json").read_text("utf-8")) == told
    assert told["model"]["sha256"] == model_hash(load(german.run))
    assert told["classifier"]["prompts"] == PROMPTS
    assert (told["images"]["files"], told["labeled"]) == (100, 100)
    calls = column(rows_of(tmp_path / "labels.csv"), "present/effusion")
    assert told["findings"]["effusion"]["present"] == calls.sum()
    assert str(tmp_path) not in json.dumps(told)


def test_findings_choose_from_the_prompts_of_a_file(german, prompts, tmp_path):
    wanted = Wanted(prompts=prompts, findings=("nodule",))
    told = label(german.run, tmp_path / "labels.csv", wanted, images=german.films)
    assert list(told["findings"]) == ["nodule"]
    wanted = Wanted(prompts=prompts, findings=("edema",))
    with pytest.raises(CallError, match=r"no finding 'edema' there; it has effusion, nodule"):
        label(german.run, tmp_path / "other.csv", wanted, images=german.films)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing to look for"),
        ({"prompts": "p", "shots": "s"}, "--prompts and --shots cannot go together"),
        ({"shots": "s", "calibrate": "c"}, "--calibrate goes with"),
        ({"findings": ("a", "a")}, "names 'a' twice"),
    ],
)
def test_what_cannot_go_together_is_refused(asked, said, tmp_path):
    paths = {name: value if name == "findings" else tmp_path / value for name, value in asked.items()}
    with pytest.raises(CallError, match=said):
        Wanted(**paths)


def test_an_empty_folder_is_one_line(german, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "notes.txt").write_text("x")
    with pytest.raises(CallError, match=r"no PNG, JPEG or DICOM files.*1 .txt"):
        label(german.run, tmp_path / "labels.csv", Wanted(findings=("a",)), images=tmp_path / "films")
