"""`medistill label` from a table of examples, and classifiers saved for later."""

import json
import shutil

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from medistill.data.corpus import open_corpus
from medistill.errors import CallError
from medistill.evaluate.probes.linear_probe import LinearProbe
from medistill.model.fingerprint import model_hash
from medistill.model.saved import load, save_model
from medistill.serve.label import label
from medistill.serve.label.classifier import read_classifier
from medistill.serve.label.from_shots import affine, folds, out_of_fold, platt
from medistill.serve.label.shots import read_shots
from medistill.serve.wanted import Wanted
from tests.conftest import tiny_model
from tests.serve.conftest import shown, write_films
from tests.serve.label.test_label import column, rows_of, truth


def write_shots(path, numbers, *, folder="", header="image,effusion,nodule"):
    """A table of films by number."""
    lines = [header]
    for number in numbers:
        name = f"{'later/' if number % 3 == 0 else ''}film{number:03d}.png"
        lines.append(f"{folder}{name},{','.join(map(str, shown(number)))}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_few_examples_find_the_same_in_other_images(german, tmp_path):
    shots = write_shots(tmp_path / "shots.csv", range(60))
    told = label(german.run, tmp_path / "labels.csv", Wanted(shots=shots), images=german.films)
    rows = [row for row in rows_of(tmp_path / "labels.csv") if int(row["image"][-7:-4]) >= 60]
    present = truth(rows)
    assert len(rows) == 40
    assert roc_auc_score(present[:, 0], column(rows, "probability/effusion")) > 0.95
    assert (column(rows, "present/effusion") == present[:, 0]).mean() > 0.9
    entry = told["findings"]["effusion"]
    assert (entry["calibrated"], entry["positive"], entry["negative"]) == (True, 30, 30)
    assert "out of fold" in entry["threshold_origin"]


def test_too_few_examples_are_not_called_calibrated(german, tmp_path):
    shots = write_shots(tmp_path / "shots.csv", range(8))
    told = label(german.run, tmp_path / "labels.csv", Wanted(shots=shots), images=german.films)
    assert "uncalibrated/effusion" in (tmp_path / "labels.csv").read_text().splitlines()[0]
    assert "has 4 patients, needs 10 of each" in told["findings"]["effusion"]["calibration"]
    assert told["findings"]["effusion"]["threshold"] == 0.5


def test_patients_are_counted_where_the_table_tells_them_apart(german, tmp_path):
    lines = ["image,effusion,patient_id"]
    for number in (n for n in range(40) if n % 3):
        lines.append(f"film{number:03d}.png,{shown(number)[0]},{number % 2}{number // 8}")
    (tmp_path / "shots.csv").write_text("\n".join(lines))
    told = label(
        german.run, tmp_path / "labels.csv", Wanted(shots=tmp_path / "shots.csv"), images=german.films
    )
    assert told["made_with"]["patients"] == "told apart"
    assert "rarer class has 5 patients" in told["findings"]["effusion"]["calibration"]


def test_examples_may_lie_beside_the_table_and_an_unreadable_one_is_counted(german, tmp_path):
    home = tmp_path / "examples"
    write_films(home, range(100, 124))
    (home / "film101.png").write_bytes(b"broken")
    shots = write_shots(home / "shots.csv", range(100, 124))
    told = label(german.run, tmp_path / "labels.csv", Wanted(shots=shots), images=german.films)
    assert (told["made_with"]["examples"], told["made_with"]["unreadable_examples"]) == (23, 1)
    assert told["findings"]["effusion"]["positive"] == 11
    assert len(rows_of(tmp_path / "labels.csv")) == 100


def test_studies_of_a_corpus_serve_as_examples(german, tmp_path):
    corpus = open_corpus(german.corpus)
    labels = dict(zip(corpus.table["study_id"].to_pylist(), corpus.labels[:, 0], strict=True))
    chosen = sorted(labels)[:40]
    lines = ["study_id,effusion", *(f"{study},{labels[study]}" for study in reversed(chosen))]
    (tmp_path / "shots.csv").write_text("\n".join(lines))
    told = label(
        german.run, tmp_path / "labels.csv", Wanted(shots=tmp_path / "shots.csv"), data=german.corpus
    )
    assert told["findings"]["effusion"]["positive"] == sum(labels[study] == 1 for study in chosen)
    rows = rows_of(tmp_path / "labels.csv")
    rest = [row for row in rows if row["study_id"] not in chosen]
    assert (
        roc_auc_score([labels[row["study_id"]] for row in rest], column(rest, "probability/effusion")) > 0.95
    )


def test_a_saved_classifier_labels_to_the_same_bytes(german, tmp_path):
    shots = write_shots(tmp_path / "shots.csv", range(60))
    label(german.run, tmp_path / "a.csv", Wanted(shots=shots), images=german.films, save=tmp_path / "kept")
    label(german.run, tmp_path / "b.csv", Wanted(classifier=tmp_path / "kept"), images=german.films)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "checksums.json",
        "classifier.safetensors",
        "classifier.json",
    }
    card = json.loads((tmp_path / "kept" / "classifier.json").read_text())
    assert card["model"]["sha256"] == model_hash(load(german.run))
    assert [entry["name"] for entry in card["findings"]] == ["effusion", "nodule"]
    assert not (tmp_path / "b.classifier").exists()
    wanted = Wanted(classifier=tmp_path / "kept", findings=("nodule",))
    label(german.run, tmp_path / "c.csv", wanted, images=german.films)
    part = [row["probability/nodule"] for row in rows_of(tmp_path / "c.csv")]
    assert part == [row["probability/nodule"] for row in rows_of(tmp_path / "a.csv")]


def test_a_classifier_is_refused_by_another_model(german, tmp_path):
    shots = write_shots(tmp_path / "shots.csv", range(8))
    label(german.run, tmp_path / "labels.csv", Wanted(shots=shots), images=german.films)
    save_model(tiny_model(seed=1), tmp_path / "other")
    wanted = Wanted(classifier=tmp_path / "labels.classifier")
    with pytest.raises(CallError, match=r"the classifier is of another model"):
        label(tmp_path / "other", tmp_path / "other.csv", wanted, images=german.films)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "classifier.json").write_text("{"),
        lambda folder: (folder / "classifier.safetensors").write_bytes(b"cut"),
        lambda folder: (folder / "classifier.safetensors").unlink(),
        lambda folder: edit(folder / "classifier.json", model={"sha256": "0"}),
    ],
)
def test_a_damaged_classifier_is_one_line(german, tmp_path, damage):
    shots = write_shots(tmp_path / "shots.csv", range(8))
    label(german.run, tmp_path / "labels.csv", Wanted(shots=shots), images=german.films)
    damage(tmp_path / "labels.classifier")
    with pytest.raises(CallError, match=r"damaged|do not belong together"):
        read_classifier(tmp_path / "labels.classifier")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("image,effusion\nnowhere.png,1\n", "row 1 of shots.csv: no such image"),
        ("image,effusion\nfilm001.png,maybe\n", "row 1 of shots.csv, column `effusion`: not 1, 0"),
        ("image,effusion\nfilm001.png,1\nfilm001.png,1\n", "row 2 of shots.csv: names the same as row 1"),
        ("image,effusion\nfilm001.png,1\n", "'effusion' has 1 positive and 0 negative examples"),
        ("image,effusion\nfilm001.png\n", "row 1 of shots.csv: 1 cells"),
        ("image\nfilm001.png\n", "no column of a finding"),
        ("file,effusion\nfilm001.png,1\n", "neither of the columns `image`"),
        ("study_id,effusion\ns1,1\n", "names studies, which a folder has none of"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(german, tmp_path, content, said):
    (tmp_path / "shots.csv").write_text(content)
    with pytest.raises(CallError, match=said):
        label(german.run, tmp_path / "labels.csv", Wanted(shots=tmp_path / "shots.csv"), images=german.films)


def test_a_classifier_of_somebody_is_not_overwritten(german, tmp_path):
    shots = write_shots(tmp_path / "shots.csv", range(8))
    label(german.run, tmp_path / "labels.csv", Wanted(shots=shots), images=german.films)
    before = (tmp_path / "labels.classifier" / "classifier.json").read_bytes()
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(CallError, match=r"labels.classifier is there already"):
        label(german.run, tmp_path / "labels.csv", Wanted(findings=("a",)), images=german.films)
    assert (tmp_path / "labels.classifier" / "classifier.json").read_bytes() == before


def test_weight_and_offset_give_the_probes_own_scores():
    random = np.random.default_rng(0)
    rows, present = random.standard_normal((40, 7)), np.arange(40) % 2 == 0
    probe = LinearProbe().fit(rows, present.astype(int))
    weight, offset = affine(probe, 7)
    np.testing.assert_allclose(rows @ weight + offset, probe.decision_function(rows), atol=1e-12)


def test_no_patient_is_in_two_folds_and_every_fold_leaves_both_classes():
    random = np.random.default_rng(0)
    patients = [str(p) for p in random.integers(0, 30, 90)]
    present = random.random(90) < 0.2
    fold, fewest = folds(present, patients)
    assert fewest == min(
        len(set(np.array(patients)[present])), len(set(patients) - set(np.array(patients)[present]))
    )
    for patient in set(patients):
        assert len({fold[i] for i, other in enumerate(patients) if other == patient}) == 1
    for number in range(5):
        assert set(present[fold != number]) == {True, False}


def test_scores_out_of_fold_are_blind_to_their_own_labels():
    random = np.random.default_rng(0)
    rows, present = random.standard_normal((80, 60)), np.arange(80) % 2 == 0
    fold, _ = folds(present, [f"{number:02d}" for number in range(80)])
    seen = LinearProbe().fit(rows, present.astype(int)).decision_function(rows)
    assert roc_auc_score(present, seen) > 0.8
    scores = out_of_fold(rows, present, fold)
    assert roc_auc_score(present, scores) < 0.65
    for out in (fold == number for number in range(5)):
        probe = LinearProbe().fit(rows[~out], present[~out].astype(int))
        assert (scores[out] == probe.decision_function(rows[out])).all()


def test_platt_scaling_recovers_known_slope_and_bias():
    random = np.random.default_rng(0)
    scores = random.standard_normal(20_000) * 3
    present = random.random(20_000) < expit(0.7 * scores - 1)
    slope, bias = platt(scores, present)
    assert abs(slope - 0.7) < 0.03
    assert abs(bias + 1) < 0.06


def test_scores_that_separate_a_few_examples_do_not_claim_certainty():
    present = np.arange(20) < 10
    slope, bias = platt(np.where(present, 1.0, -1.0), present)
    np.testing.assert_allclose(expit(slope + bias), 11 / 12, atol=1e-3)
    np.testing.assert_allclose(expit(-slope + bias), 1 / 12, atol=1e-3)


def test_scores_turned_round_get_no_negative_slope():
    present = np.arange(20) < 10
    slope, bias = platt(np.where(present, -1.0, 1.0), present)
    assert slope == 0
    np.testing.assert_allclose(expit(bias), 0.5, atol=1e-6)


def test_a_model_folder_may_be_moved(german, tmp_path):
    shutil.copytree(german.run, tmp_path / "elsewhere")
    shots = write_shots(tmp_path / "shots.csv", range(8))
    label(german.run, tmp_path / "a.csv", Wanted(shots=shots), images=german.films)
    wanted = Wanted(classifier=tmp_path / "a.classifier")
    label(tmp_path / "elsewhere", tmp_path / "b.csv", wanted, images=german.films)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("https://example.org/a.png", r"named by a URL \(https\)"),
        ("C:\\a.png", "named by a path of Windows"),
    ],
)
def test_an_image_of_the_table_that_is_no_path_here_is_called_what_it_is(german, tmp_path, name, reason):
    (tmp_path / "shots.csv").write_text(f"image,effusion\n{name},1\n")
    with pytest.raises(CallError, match=f"row 1 of shots.csv: image {reason}"):
        label(german.run, tmp_path / "out.csv", Wanted(shots=tmp_path / "shots.csv"), images=german.films)


def test_an_example_named_with_backslashes_and_semicolons_is_found(german, tmp_path):
    shots = write_shots(tmp_path / "shots.csv", range(60))
    shots.write_text(shots.read_text().replace("/", "\\").replace(",", ";"))
    told = label(german.run, tmp_path / "labels.csv", Wanted(shots=shots), images=german.films)
    assert told["findings"]["effusion"]["positive"] == 30


def test_all_spellings_of_a_patient_are_in_one_fold(tmp_path):
    rows = ["image,patient_id,effusion", "a.png,10,1", "b.png,10.0,0", "c.png,P-7,1", "d.png,p7,0"]
    (tmp_path / "shots.csv").write_text("\n".join(rows))
    assert read_shots(tmp_path / "shots.csv").patients == ("10", "10", "P-7", "P-7")


def test_a_study_that_the_corpus_spells_otherwise_says_how_many_would_match(german, tmp_path):
    study = open_corpus(german.corpus).split("test").study_ids[0]
    (tmp_path / "shots.csv").write_text(f"study_id,effusion\n{study.upper()}.,1\n")
    with pytest.raises(CallError, match="no such study in the corpus; 1 of 1 such would match if case"):
        label(german.run, tmp_path / "out.csv", Wanted(shots=tmp_path / "shots.csv"), data=german.corpus)


def test_a_rounded_study_id_is_an_error(tmp_path):
    (tmp_path / "shots.csv").write_text("study_id,effusion\n1.2E+11,1\n")
    with pytest.raises(CallError, match=r"column `study_id` of shots.csv, row 1: .* has rounded"):
        read_shots(tmp_path / "shots.csv")
