"""All tasks together: a model of plain arrays on a corpus of plain arrays."""

import json

import numpy as np
import pytest

from medistill.errors import CallError
from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.write import canonical_json

TASKS = {
    "zero_shot": {"auroc_macro", "ap_macro", "accuracy", "f1_macro", "ece", "brier"},
    "few_shot": {"auroc_macro@1", "auroc_macro@4", "auroc_macro@16"},
    "retrieval": {
        *(f"{way}_r@{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)),
        *(f"i2t_p@{k}" for k in (5, 10, 100)),
        *("i2t_r@10_unique", "i2t_mean_rank", "i2t_median_rank", "rsum", "chance_r@10"),
    },
}


def evaluated(model, corpus, **given):
    return evaluate_model(model, corpus, resamples=50, draws=3, **given)


def test_every_figure_of_the_contract_is_there_with_interval_and_counts(corpus, knowing):
    metrics = json.loads(canonical_json(evaluated(knowing, corpus).metrics))
    findings = {f"auroc/{finding}" for finding in corpus.findings}
    assert {task: set(entries) for task, entries in metrics.items()} == {
        **TASKS,
        "zero_shot": TASKS["zero_shot"] | findings,
    }
    for entry in (entry for entries in metrics.values() for entry in entries.values()):
        assert {"value", "low", "high", "n_images", "n_patients"} <= set(entry)
        assert entry["value"] is not None or entry["reason"]
        assert entry["value"] is None or entry["low"] <= entry["value"] <= entry["high"]


def test_a_model_that_knows_scores_one(corpus, knowing):
    metrics = evaluated(knowing, corpus).metrics
    assert metrics["zero_shot"]["auroc_macro"]["value"] > 0.99
    assert metrics["zero_shot"]["f1_macro"]["value"] > 0.99
    assert metrics["few_shot"]["auroc_macro@16"]["value"] > 0.99


def test_a_blind_model_scores_one_half(corpus, blind):
    zero = evaluated(blind, corpus).metrics["zero_shot"]["auroc_macro"]
    assert zero["low"] < 0.5 < zero["high"]


def test_shuffled_rows_give_the_same_bytes(corpus, knowing):
    straight = canonical_json(evaluated(knowing, corpus).metrics)
    corpus.rows = {name: rows.shuffled(3) for name, rows in corpus.rows.items()}
    assert canonical_json(evaluated(knowing, corpus).metrics) == straight


def test_the_protocol_says_what_the_figures_rest_on(corpus, knowing):
    protocol = evaluated(knowing, corpus).protocol
    assert (protocol["split"], protocol["n_images"], protocol["n_patients"]) == ("test", 120, 60)
    assert "frontal" in protocol["unit"]
    assert "fitted on validation" in protocol["calibration"]
    assert protocol["prompts"]["alpha"]["positive"] == ["alpha", "There is alpha."]


def test_the_validation_split_is_not_calibrated_on_itself(corpus, knowing):
    assert "not fitted" in evaluated(knowing, corpus, split="val").protocol["calibration"]


def test_the_training_split_gives_no_shots_of_itself(corpus, knowing):
    few = evaluated(knowing, corpus, split="train").metrics["few_shot"]
    assert all(entry["value"] is None for entry in few.values())


def test_without_findings_only_retrieval_is_measured(corpus, knowing):
    corpus.findings = ()
    for rows in corpus.rows.values():
        rows.labels = np.zeros((len(rows), 0), np.float32)
    assert set(evaluated(knowing, corpus).metrics) == {"retrieval"}


def test_one_study_gives_figures_or_reasons_and_no_crash(corpus, knowing):
    rows = corpus.split("test")
    only = type(rows)(
        *(c[:1] for c in (rows.study_ids, rows.patient_ids, rows.views, rows.texts)), *_first(rows)
    )
    corpus.rows = {"test": only}
    metrics = evaluated(knowing, corpus).metrics
    assert metrics["zero_shot"]["auroc_macro"]["value"] is None
    assert metrics["retrieval"]["i2t_r@1"]["value"] == 1


def _first(rows):
    return rows.labels[:1], rows.pixels[:1]


def test_an_empty_split_is_refused(corpus, knowing):
    corpus.rows["test"] = type(corpus.rows["test"])(
        [], [], [], [], np.zeros((0, 3), np.float32), np.zeros((0, 4, 4))
    )
    with pytest.raises(CallError, match="holds no image"):
        evaluated(knowing, corpus)


def test_progress_names_each_split_and_reaches_its_end(corpus, knowing):
    told: list[tuple[str, int, int]] = []
    evaluated(knowing, corpus, on_progress=lambda *news: told.append(news))
    last = {what: (done, total) for what, done, total in told}
    assert set(last) == {"test images", "validation images", "training images"}
    assert all(done == total for done, total in last.values())


def test_examples_name_the_rank_of_the_studys_own_report(corpus, knowing):
    for example in evaluated(knowing, corpus).examples:
        assert len(example.nearest) == 3
        if example.own_rank <= 3:
            assert example.nearest[example.own_rank - 1] == example.own
