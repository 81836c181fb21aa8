"""Comparisons on folds: what a cell trains and is tested on, and how folds become figures."""

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import medistill.compare.run
from medistill.compare import worker
from medistill.compare.cell import CONFIG, Cell, prepare_folder, read_result
from medistill.compare.command import command
from medistill.compare.comparison import SETTINGS, claim_settings
from medistill.compare.run import final_cells, gather, settle_epochs
from medistill.compare.tested import about_tested, judged_findings
from medistill.compare.tuning import settle, trial_cells
from medistill.compare.worker import run_cell
from medistill.data.corpus import Rows, open_corpus
from medistill.data.folds import Fold, in_fold
from medistill.data.image import encode_image
from medistill.data.prepare.writer import write_corpus
from medistill.data.split import fold_of
from medistill.data.study import Study, StudyImage
from medistill.errors import CallError
from medistill.evaluate.run import evaluate_run
from medistill.model.saved import load
from tests.cli.test_cli import call
from tests.compare.conftest import end, tiny_comparison
from tests.conftest import each_a_unit, forget_checksums, tiny_recipe

FOLDS = 4
NAME = "retrieval/mean_r@10_unique"


@pytest.fixture
def images_read(monkeypatch) -> list[tuple[str, str]]:
    """Patients whose images were read, with the split that they were read as."""
    read: list[tuple[str, str]] = []
    image = Rows.stored

    def stored(rows: Rows, i: int) -> bytes:
        row = int(rows.indices[i])
        patient = rows.corpus.table["patient_id"][row].as_py()
        read.append((str(rows.corpus.split_names[row]), patient))
        return image(rows, i)

    monkeypatch.setattr(Rows, "stored", stored)
    return read


def prepared(out: Path, *, fold: int, trial: int | None = None, **changes) -> tuple[Cell, Path]:
    recipe = tiny_recipe(folds=FOLDS, fold=fold, seed=fold, log_every=1, **changes)
    cell = Cell(label="msd", recipe=recipe, trial=trial)
    return cell, prepare_folder(cell, out)


def test_a_final_cell_is_tested_on_its_fold_and_trained_on_none_of_it(tiny_corpus, tmp_path, images_read):
    cell, folder = prepared(tmp_path, fold=2, epochs=1)
    run_cell(folder, tiny_corpus, final=cell.final)
    patients = {split: {p for s, p in images_read if s == split} for split in ("train", "val", "test")}
    everyone = {f"p{number}" for number in range(60)}
    assert patients["test"] == {patient for patient in everyone if fold_of(patient, FOLDS) == 2}
    assert patients["train"] | patients["val"] == everyone - patients["test"]
    figure = read_result(cell, tmp_path)["metrics"]["retrieval"]["i2t_r@10"]
    assert figure["n_patients"] == len(patients["test"])
    assert load(folder / "run").left_out == {
        "fold": 2,
        "folds": FOLDS,
        "corpus": open_corpus(tiny_corpus).card["sha256"],
    }


def test_a_tuning_cell_reads_no_image_of_the_fold_that_is_left_out(tiny_corpus, tmp_path, images_read):
    cell, folder = prepared(tmp_path, fold=0, trial=0, epochs=1)
    run_cell(folder, tiny_corpus, final=cell.final)
    assert read_result(cell, tmp_path)["failed"] is None
    assert {split for split, _ in images_read} == {"train", "val"}
    assert 0 not in {fold_of(patient, FOLDS) for _, patient in images_read}


@pytest.mark.slow
def test_evaluating_the_model_of_a_fold_takes_the_same_fold(tiny_corpus, tmp_path):
    cell, folder = prepared(tmp_path, fold=1, epochs=1)
    run_cell(folder, tiny_corpus, final=cell.final)
    in_cell = read_result(cell, tmp_path)["metrics"]["retrieval"]["mean_r@10_unique"]
    metrics, account = evaluate_run(folder / "run" / "model", tiny_corpus, tmp_path / "evaluation")
    assert (account["fold"], account["folds"]) == (1, FOLDS)
    found = metrics["retrieval"]["mean_r@10_unique"]
    assert (found["value"], found["n_patients"]) == (in_cell["value"], in_cell["n_patients"])


@pytest.mark.parametrize("fold", [0, 2])
def test_a_fold_is_resampled_by_a_seed_of_its_own_and_its_findings_are_those_of_all(
    tiny_corpus, tmp_path, monkeypatch, fold
):
    asked = {}

    def evaluate_model(_, corpus, **given):
        asked.update(given, corpus=corpus)
        return SimpleNamespace(metrics={}, spread={})

    left_out = {"fold": fold, "folds": FOLDS, "corpus": open_corpus(tiny_corpus).card["sha256"]}
    monkeypatch.setattr(worker, "open_model", lambda *_: SimpleNamespace(left_out=left_out))
    monkeypatch.setattr(worker, "evaluate_model", evaluate_model)
    _, folder = prepared(tmp_path, fold=fold)
    worker.evaluated(folder, tiny_corpus, min_positives=25)
    assert (asked["seed"], asked["split"], asked["corpus"].fold) == (fold, "test", Fold(fold, FOLDS))
    assert asked["judged"] == {"effusion": 30}  # of all 60 studies, not of a fold's


def folded_comparison(**changes):
    values = {"recipe": tiny_recipe(folds=5), "seeds": 5}
    return tiny_comparison(**{**values, **changes})


def test_seed_k_is_of_fold_k_for_every_objective_and_tuning_of_the_first():
    comparison = folded_comparison(labels=("clip", "msd", "moco"), seeds=10, trials=2)
    tuned = {e.label: {"chosen": {"lr": 1e-3, "scale": 10.0, "warmup": 0.1}} for e in comparison.entrants}
    cells = final_cells(comparison, tuned, dict.fromkeys(tuned, 2), "samples")
    for by_seed in cells.values():
        assert [(c.recipe.seed, c.recipe.fold) for c in by_seed] == [(s, s % 5) for s in range(10)]
        assert {c.recipe.folds for c in by_seed} == {5}
    assert {(c.recipe.fold, c.recipe.folds) for c in trial_cells(comparison)} == {(0, 5)}


def results_of(out, comparison, unique, **changes):
    """Results of cells with these recalls, by label and seed."""
    tuned = settle(comparison, [], out)
    epochs = settle_epochs(comparison, "samples", [], out)["epochs"]
    finals = {"samples": final_cells(comparison, tuned, epochs, "samples")}
    for label, cells in finals["samples"].items():
        for cell, value in zip(cells, unique[label], strict=True):
            cell.folder(out).mkdir(parents=True, exist_ok=True)
            end(cell, out, value, **changes)
    about = {"sha256": "a", "source": "openi", "splits": {}, "tested": {"patients": 1000}, "judged": None}
    return gather(comparison, about, tuned, finals, out)


HARD_AND_EASY = np.array([0.30, 0.60, 0.45, 0.70, 0.35])
"""What folds do to any objective."""
LEAD = np.array([0.04, 0.06, 0.05, 0.05, 0.06])


def test_a_lead_is_paired_by_fold_so_that_hard_folds_do_not_hide_it(tmp_path):
    unique = {"clip": HARD_AND_EASY.tolist(), "msd": (HARD_AND_EASY + LEAD).tolist()}
    found = results_of(tmp_path, folded_comparison(), unique)["budgets"]["samples"]["msd"]
    difference = found["differences"][NAME]
    expected = stats.ttest_rel(unique["msd"], unique["clip"]).confidence_interval()
    assert (difference["low"], difference["high"]) == pytest.approx((expected.low, expected.high))
    assert difference["low"] > 0.03
    assert stats.ttest_ind(unique["msd"], unique["clip"]).confidence_interval().low < 0
    assert difference["patient_high"] - difference["patient_low"] < 1e-6


def test_figures_of_folds_count_every_patient_once(tmp_path):
    unique = {label: [*HARD_AND_EASY, *HARD_AND_EASY] for label in ("clip", "msd")}
    found = results_of(tmp_path, folded_comparison(seeds=10), unique)["budgets"]["samples"]["msd"]
    mean = found["metrics"][NAME]
    assert (mean["n_seeds"], mean["n_images"], mean["n_patients"]) == (10, 5 * 400, 5 * 200)
    assert mean["value"] == pytest.approx(HARD_AND_EASY.mean())


def test_what_folds_mean_is_noted_with_the_seed_that_tuning_heard_of(tmp_path):
    unique = {label: HARD_AND_EASY.tolist() for label in ("clip", "msd")}
    results = results_of(tmp_path, folded_comparison(), unique)
    said = " ".join(results["notes"])
    assert "Seed k was trained without fold k of 5" in said
    assert "whom seed 1 is tested on" not in said  # nothing was tuned
    assert results["settings"]["recipe"]["folds"] == 5


def test_a_comparison_of_an_earlier_version_goes_on(tmp_path):
    comparison, out = tiny_comparison(), tmp_path / "out"
    claim_settings(comparison, "abc", out)
    settings = json.loads((out / SETTINGS).read_text())
    for name in ("folds", "fold"):
        del settings["recipe"][name]
    del settings["min_positives"]
    (out / SETTINGS).write_text(json.dumps(settings))
    forget_checksums(out)
    claim_settings(comparison, "abc", out)
    with pytest.raises(CallError, match=r"differs in min_positives, folds\)"):
        claim_settings(tiny_comparison(recipe=tiny_recipe(folds=5), min_positives=40), "abc", out)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folds": 1}, "folds is 1"),
        ({"fold": 1}, "fold is 1 of 0"),
        ({"folds": 3, "fold": 3}, "fold is 3 of 3"),
    ],
)
def test_folds_that_cannot_be_are_one_line(changes, said):
    with pytest.raises(CallError, match=said):
        tiny_recipe(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": tiny_recipe(folds=5, fold=2)}, "tests seed k on fold k"),
        ({"settings": {"msd": {"fold": 1}}}, "set by the seed"),
        ({"settings": {"msd": {"folds": 3}}}, "the same for all"),
        ({"settings": {"msd": {"budgets": "samples"}}}, "must be a list"),
        ({"settings": {"msd": {"budgets": ["time"]}}}, "--budgets has no time"),
        ({"settings": {"clip": {"budgets": ["samples"]}}}, "the baseline takes part in all"),
        ({"min_positives": -1}, "--min-positives is -1"),
    ],
)
def test_a_comparison_that_cannot_be_is_one_line(changes, said):
    with pytest.raises(CallError, match=said):
        folded_comparison(**changes)


def test_an_entrant_takes_part_in_its_own_budgets_alone(tmp_path):
    settings = {"moco": {"budgets": ["samples"]}}
    comparison = tiny_comparison(("clip", "msd", "moco"), settings, budgets=("samples", "time"), trials=0)
    tuned = settle(comparison, [], tmp_path)
    labels = {
        budget: list(final_cells(comparison, tuned, dict.fromkeys(tuned, 2), budget))
        for budget in comparison.budgets
    }
    assert labels == {"samples": ["clip", "msd", "moco"], "time": ["clip", "msd"]}
    assert comparison.settings("a")["objectives"]["moco"] == {"objective": "moco", "budgets": ["samples"]}


def test_findings_that_enough_of_the_tested_show_count_and_normal_does_not(tmp_path):
    shown = {"effusion": 2, "nodule": 7, "mesh: normal": 2}
    blank = (StudyImage(image=encode_image(np.zeros((8, 8), np.uint8))),)
    studies = [
        Study(
            study_id=f"s{i}",
            patient_id=f"p{i}",
            images=blank,
            text=f"Report {i}",
            split="test" if i < 20 else "train",
            labels={name: int(i % every == 0) for name, every in shown.items()},
        )
        for i in range(100)
    ]
    write_corpus(each_a_unit(studies), tmp_path / "c", source="test", made_with={}, findings=tuple(shown))
    corpus = open_corpus(tmp_path / "c")
    assert judged_findings(corpus, 0) is None
    assert judged_findings(corpus, 10) == {"effusion": 10}
    folded = in_fold(corpus, fold=3, folds=5)
    assert judged_findings(folded, 10) == {"effusion": 50, "nodule": 15}
    assert about_tested(folded, 10)["tested"] == {"images": 100, "studies": 100, "patients": 100}
    assert about_tested(corpus, 10)["tested"]["patients"] == 20


def test_the_command_of_the_results_makes_the_same_comparison(tiny_corpus, tmp_path, monkeypatch, capsys):
    """Also of what is no default: folds, a budget of its own, a switch turned off."""
    seen = []
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"moco": {"budgets": ["samples"], "queue": 16}}))

    def run(comparison, *_, **__):
        seen.append(comparison)
        raise CallError("far enough")

    monkeypatch.setattr(medistill.compare.run, "compare", run)
    given = "--objectives clip moco msd --folds 5 --min-positives 40 --baseline msd --no-augment --lr 7e-4"
    words = [*given.split(), "--memory", "1.5GiB", "--text.frozen-layers", 1, "--settings", settings]
    assert call("compare", "small", "--data", tiny_corpus, "--out", tmp_path / "out", *words) == 2
    again = command(seen[0]).replace("SETTINGS", str(settings)).replace("OUT", str(tmp_path / "out"))
    assert call(*shlex.split(again.replace("CORPUS", str(tiny_corpus)))[1:]) == 2
    assert seen[0].settings("a") == seen[1].settings("a")
    assert capsys.readouterr().err.count("far enough") == 2
    assert str(tmp_path) not in command(seen[0])


def test_a_cells_config_names_its_fold(tmp_path):
    _, folder = prepared(tmp_path, fold=3)
    config = json.loads((folder / CONFIG).read_text())
    assert (config["fold"], config["folds"]) == (3, FOLDS)
