"""All tasks together: a model of plain arrays on a corpus of plain arrays."""

import json

import numpy as np
import pytest

from medistill.data.study import NO_REPORT
from medistill.errors import CallError
from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.statistics.difference import differences, paired_difference
from medistill.system.json_files import canonical_json

TASKS = {
    "zero_shot": {"auroc_macro", "auroc_macro_abnormal", "ap_macro", "accuracy", "f1_macro", "ece", "brier"},
    "few_shot": {
        *(f"{name}@{k}" for name in ("auroc_macro", "auroc_macro_lpp") for k in (1, 4, 16)),
        *(f"auroc_macro@{share}" for share in ("1%", "10%", "100%")),
    },
    "retrieval": {
        *(f"{way}_r@{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)),
        *(f"i2t_p@{k}" for k in (5, 10, 100)),
        *(f"{way}_r@{k}_unique" for way in ("i2t", "t2i") for k in (1, 5, 10)),
        *("mean_r@10_unique", "i2t_mean_rank", "i2t_median_rank", "rsum", "chance_r@10"),
    },
}


def evaluated(model, corpus, **given):
    return evaluate_model(model, corpus, resamples=50, draws=3, **given)


@pytest.fixture(scope="module")
def of_knowing(unchanged, knowing):
    return evaluated(knowing, unchanged)


def test_every_figure_of_the_contract_is_there_with_interval_and_counts(unchanged, of_knowing):
    metrics = json.loads(canonical_json(of_knowing.metrics))
    kinds = ("auroc", "auroc_abnormal")
    findings = {f"{kind}/{finding}" for kind in kinds for finding in unchanged.findings}
    assert {task: set(entries) for task, entries in metrics.items()} == {
        **TASKS,
        "zero_shot": TASKS["zero_shot"] | findings,
    }
    for entry in (entry for entries in metrics.values() for entry in entries.values()):
        assert {"value", "low", "high", "n_images", "n_patients"} <= set(entry)
        assert entry["value"] is not None or entry["reason"]
        assert entry["value"] is None or entry["low"] <= entry["value"] <= entry["high"]


def test_a_model_that_knows_scores_one(of_knowing):
    metrics = of_knowing.metrics
    assert metrics["zero_shot"]["auroc_macro"]["value"] > 0.99
    assert metrics["zero_shot"]["f1_macro"]["value"] > 0.99
    assert metrics["few_shot"]["auroc_macro@16"]["value"] > 0.99


def test_means_are_over_the_findings_judged_and_all_else_stays(unchanged, blind):
    """A finding's own figures, who is abnormal and which studies classifiers are given stay as they were."""
    whole = evaluated(blind, unchanged).metrics
    found = evaluated(blind, unchanged, judged=("alpha", "gamma")).metrics
    for kind, task in (("auroc", "zero_shot"), ("auroc_abnormal", "zero_shot")):
        own = {name: entry for name, entry in whole[task].items() if name.startswith(f"{kind}/")}
        assert {name: found[task][name]["value"] for name in own} == {n: e["value"] for n, e in own.items()}
        macro = found[task][kind.replace("auroc", "auroc_macro")]
        values = [own[f"{kind}/{finding}"]["value"] for finding in ("alpha", "gamma")]
        assert (macro["value"], macro["n_findings"]) == (pytest.approx(np.mean(values)), 2)
    alone = [
        evaluated(blind, unchanged, judged=(finding,)).metrics["few_shot"] for finding in ("alpha", "gamma")
    ]
    for name in ("auroc_macro@4", "auroc_macro@16", "auroc_macro@100%"):
        figure = found["few_shot"][name]
        assert (figure["n_findings"], whole["few_shot"][name]["n_findings"]) == (2, 3)
        assert figure["value"] == pytest.approx(np.mean([few[name]["value"] for few in alone]))
    assert canonical_json(found["retrieval"]) == canonical_json(whole["retrieval"])


def test_a_blind_model_scores_one_half(corpus, blind):
    zero = evaluated(blind, corpus).metrics["zero_shot"]["auroc_macro"]
    assert zero["low"] < 0.5 < zero["high"]


def test_shuffled_rows_give_the_same_bytes(corpus, knowing, of_knowing):
    corpus.rows = {name: rows.shuffled(3) for name, rows in corpus.rows.items()}
    assert canonical_json(evaluated(knowing, corpus).metrics) == canonical_json(of_knowing.metrics)


def test_the_protocol_says_what_the_figures_rest_on(of_knowing):
    protocol = of_knowing.protocol
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


def test_studies_without_reports_are_scored_by_their_labels_and_not_searched_for(corpus, knowing):
    for rows in corpus.rows.values():
        rows.texts[:] = [NO_REPORT] * len(rows)
    evaluation = evaluated(knowing, corpus)
    assert evaluation.metrics["zero_shot"]["auroc_macro"]["value"] == 1
    assert evaluation.metrics["few_shot"]["auroc_macro@4"]["value"] is not None
    assert set(evaluation.metrics["retrieval"]) == TASKS["retrieval"]
    assert {entry["reason"] for entry in evaluation.metrics["retrieval"].values()} == {
        "no study of the split has a report"
    }
    assert evaluation.examples == ()


def test_studies_without_reports_are_neither_query_nor_gallery_of_the_others(corpus, knowing):
    rows = corpus.split("test")
    told = np.arange(len(rows)) % 3 == 1
    rows.texts[:] = [text if is_told else NO_REPORT for text, is_told in zip(rows.texts, told, strict=True)]
    found = evaluated(knowing, corpus)
    names = (rows.study_ids, rows.patient_ids, rows.views, rows.texts)
    columns = [[cell for cell, is_told in zip(column, told, strict=True) if is_told] for column in names]
    corpus.rows["test"] = type(rows)(*columns, rows.labels[told], rows.pixels[told])
    alone = evaluated(knowing, corpus)
    for name, entry in found.metrics["retrieval"].items():
        assert entry["value"] == alone.metrics["retrieval"][name]["value"]
    assert found.metrics["retrieval"]["i2t_r@1"]["n_images"] == told.sum()
    assert found.metrics["zero_shot"]["auroc_macro"]["n_images"] > told.sum()


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


def test_examples_name_the_rank_of_the_studys_own_report(of_knowing):
    for example in of_knowing.examples:
        assert len(example.nearest) == 3
        if example.own_rank <= 3:
            assert example.nearest[example.own_rank - 1] == example.own


def test_two_models_on_one_corpus_can_be_paired_figure_by_figure(corpus, of_knowing, blind):
    one, other = of_knowing.metrics, evaluated(blind, corpus).metrics
    for task, entries in one.items():
        found = differences(entries, other[task], paired_difference)
        assert set(found) == set(entries)
    assert differences(one["zero_shot"], other["zero_shot"], paired_difference)["auroc_macro"]["low"] > 0
    with pytest.raises(CallError, match="resampled differently"):
        differences(
            one["retrieval"], evaluated(blind, corpus, seed=1).metrics["retrieval"], paired_difference
        )


def test_resampled_values_of_two_models_are_of_the_same_patients(corpus, knowing, blind, of_knowing):
    """The interval comes from them, and two models that differ in nothing differ in no resample."""
    one, other, again = of_knowing, evaluated(blind, corpus), evaluated(knowing, corpus)
    defined = {f"{t}/{n}" for t, es in one.metrics.items() for n, e in es.items() if e["value"] is not None}
    assert set(one.spread) == defined
    name = "retrieval/i2t_r@10"
    assert one.spread[name].shape == (50,)
    low, high = np.percentile(one.spread[name], [2.5, 97.5])
    assert (low, high) == (
        one.metrics["retrieval"]["i2t_r@10"]["low"],
        one.metrics["retrieval"]["i2t_r@10"]["high"],
    )
    for name in ("retrieval/chance_r@10", "few_shot/auroc_macro@4"):
        np.testing.assert_array_equal(one.spread[name], again.spread[name])
    np.testing.assert_array_equal(one.spread["retrieval/chance_r@10"], other.spread["retrieval/chance_r@10"])
