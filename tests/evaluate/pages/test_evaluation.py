"""The page: complete, escaped, and silent about patients."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from medistill.data.study import NO_REPORT
from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.pages.evaluation import page
from medistill.evaluate.run import write_evaluation
from medistill.evaluate.tasks.grounding import Pointed
from medistill.system.json_files import canonical_json
from tests.hostile import EVIL, assert_escaped, hostile

HISTORY = [
    *({"step": i, "pairs": 64 * i, "loss": 5 - i / 20} for i in range(1, 60)),
    *({"pairs": 64 * i, "val/i2t_r@10": i / 100, "val/t2i_r@10": i / 90} for i in range(10, 60, 10)),
]
BLANK = {"value": None, "low": None, "high": None, "reason": "too few", "n_images": 1, "n_patients": 1}
MARKED = {"value": 0.5, "low": 0.4, "high": 0.6, "n_images": 9, "n_patients": 9, "n_marks": 9}


@pytest.fixture(scope="module")
def evaluation(unchanged, knowing):
    return evaluate_model(knowing, unchanged, resamples=20, draws=2)


class Balanced(HTMLParser):
    """Fails on an element that is closed out of turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_no_image_and_no_report_unless_asked(evaluation):
    shown = page(evaluation, with_cases=False)
    assert "Secret report" not in shown
    assert "<img" not in shown
    assert "--with-cases adds" in shown


def test_a_split_without_reports_has_a_page_that_says_so(corpus, knowing):
    for rows in corpus.rows.values():
        rows.texts[:] = [NO_REPORT] * len(rows)
    shown = page(evaluate_model(knowing, corpus, resamples=20, draws=2), with_cases=True)
    Balanced(shown)
    assert "no study of the split has a report" in shown
    assert NO_REPORT not in shown


def test_with_cases_it_holds_both_and_marks_the_right_report_in_words(evaluation):
    shown = page(evaluation, with_cases=True)
    assert "Secret report" in shown
    assert shown.count("<img") == len(evaluation.examples)
    assert shown.count("the study's own report</span>") == len(evaluation.examples)


def test_phantoms_are_always_shown(evaluation, tmp_path):
    write_evaluation(replace(evaluation, drawn_cases=True), tmp_path)
    assert "Secret report" in (tmp_path / "page.html").read_text()


def test_no_other_file_holds_a_report(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path, with_cases=True, history=HISTORY)
    others = {"metrics.json", "evaluation.json", "checksums.json"}
    assert {path.name for path in tmp_path.iterdir()} == {*others, "page.html"}
    for name in others:
        assert "Secret" not in (tmp_path / name).read_text()


def test_the_page_is_well_formed_and_needs_nothing_else(evaluation):
    shown = page(evaluation, with_cases=True, history=HISTORY)
    Balanced(shown)
    assert not re.findall(r"https?://|<script|@import|url\(|<iframe", shown)
    assert len(shown) < 1_500_000


def test_what_comes_from_outside_is_escaped(evaluation):
    """Every string, names of findings as well."""
    names = ("alpha",)
    metrics = {
        task: {**hostile(dict(entries), names=names), "cnr": {**BLANK, "reason": EVIL}}
        for task, entries in evaluation.metrics.items()
    }
    columns = ("pointing_game", "pointing_game_center", "pointing_game_chance", "cnr_signed")
    metrics["grounding"] = {f"{column}/{EVIL}": MARKED for column in columns} | {"pointing_game": MARKED}
    spot = np.eye(4)
    changed = replace(
        evaluation,
        protocol=hostile(evaluation.protocol, kept=("reliability",), names=names),
        metrics=metrics,
        curves=hostile(dict(evaluation.curves), names=names),
        examples=tuple(replace(e, own=EVIL, nearest=(EVIL,) * 3) for e in evaluation.examples),
        pointed=(Pointed(spot.astype(np.uint8), EVIL, spot > 0, spot.astype(np.float32)),),
    )
    harmless = replace(
        evaluation,
        metrics=evaluation.metrics
        | {"grounding": {f"{c}/x": MARKED for c in columns} | {"pointing_game": MARKED}},
        pointed=(replace(changed.pointed[0], finding="x"),),
    )
    shown = page(changed, with_cases=True, history=HISTORY)
    assert_escaped(shown, page(harmless, with_cases=True, history=HISTORY))


def test_the_page_says_split_counts_prompts_hashes_and_how_to_repeat_it(evaluation):
    shown = page(evaluation, with_cases=False)
    for part in ("120 studies", "60 patients", "There is alpha.", evaluation.protocol["corpus_sha256"]):
        assert part in shown
    assert "medistill evaluate MODEL --data CORPUS --split test --out DIR" in shown


@pytest.mark.parametrize(
    "history", [(), [{}], [{"loss": 1.0}], [{"step": 1, "val/i2t_r@10": 0.5}], HISTORY[:3]]
)
def test_a_run_that_logged_little_still_has_a_page(evaluation, history):
    Balanced(page(evaluation, with_cases=False, history=history))


def test_the_curves_of_a_run_are_drawn(evaluation):
    shown = page(evaluation, with_cases=False, history=HISTORY)
    assert "Training loss" in shown
    assert "Recall@10 on validation" in shown


def test_a_page_without_defined_figures_gives_their_reasons(evaluation):
    metrics = {task: dict.fromkeys(entries, BLANK) for task, entries in evaluation.metrics.items()}
    shown = page(replace(evaluation, metrics=metrics), with_cases=False)
    Balanced(shown)
    assert "not defined: too few" in shown


def test_json_is_sorted_and_rounded_to_six_digits():
    text = canonical_json({"b": 0.12345678, "a": [-0.0000001, None, 3]})
    assert json.loads(text) == {"a": [0.0, None, 3], "b": 0.123457}
    assert text.index('"a"') < text.index('"b"')
    assert "-0.0" not in text


def test_the_page_says_why_a_figure_has_no_interval(evaluation):
    entry = evaluation.metrics["retrieval"]["i2t_r@10"]
    few = {"low": None, "high": None, "reason": "too few patients for an interval: 4 patients"}
    retrieval = evaluation.metrics["retrieval"] | {"i2t_r@10": dict(entry) | few}
    shown = page(replace(evaluation, metrics=evaluation.metrics | {"retrieval": retrieval}), with_cases=False)
    assert shown.count("too few patients") > page(evaluation, with_cases=False).count("too few patients")
    assert "With fewer than ten patients on a side" in " ".join(shown.split())
