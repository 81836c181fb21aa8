"""`medistill check` as a user meets it."""

import json
import re
from dataclasses import replace

import pytest

from medistill.data.check.flag import CHECKS, row_id
from medistill.data.check.page import ADVICE, page
from medistill.data.check.report import as_json, check_and_write
from medistill.data.check.run import check_corpus
from medistill.data.corpus import open_corpus
from medistill.data.image import decode_image
from tests.cli.test_cli import call, one_line
from tests.evaluate.pages.test_evaluation import Balanced
from tests.hostile import EVIL, assert_escaped, hostile
from tests.planted import as_png, phantom_corpus, plant_leaks, planted

LEAKS = ("patients", "studies", "identical_images", "near_identical_images")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return phantom_corpus(tmp_path_factory.mktemp("clean") / "corpus", count=60)


@pytest.fixture(scope="module")
def leaking(clean, tmp_path_factory):
    def plant(rows):
        plant_leaks(rows)
        rows[-1]["text"] = "Seen by Dr. Smith. Secret report"
        rows[-2]["image"] = as_png(255 - decode_image(rows[-2]["image"]))
        rows[-3]["image"] = rows[-3]["image"][:200]

    return planted(clean, tmp_path_factory.mktemp("leaking") / "corpus", plant).path


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_clean_corpus_is_status_0_and_leaves_its_files_beside_it(clean, capsys):
    before = files_of(clean)
    assert call("check", clean) == 0
    assert files_of(clean) == before
    assert set(files_of(clean.with_name("corpus.check"))) == {"check.json", "page.html"}
    assert "clear" in capsys.readouterr().err


def test_a_leaking_corpus_is_status_1_and_every_leak_is_named(leaking, tmp_path, capsys):
    assert call("check", leaking, "--out", tmp_path, "--json") == 1
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report == json.loads((tmp_path / "check.json").read_text())
    assert not report["passed"]
    for name in LEAKS:
        assert report["checks"][name]["state"] == "error"
        assert [len(flag["cases"]) for flag in report["checks"][name]["flags"]] == [1]
        assert CHECKS[name].lower() in report["verdict"]
    assert "medistill: the corpus leaks" in said.err


def test_an_unreadable_image_alone_is_status_1(clean, tmp_path, capsys):
    def plant(rows):
        rows[0]["image"] = b"\x89PNG\r\n\x1a\n"

    corpus = planted(clean, tmp_path / "corpus", plant)
    assert call("check", corpus.path) == 1
    assert "the corpus is broken: unreadable images (1)" in one_line(capsys)


def test_rows_are_named_by_number_and_salted_id_unless_ids_are_asked_for(leaking, tmp_path):
    corpus = open_corpus(leaking)
    salted = check_and_write(leaking, tmp_path)
    text = json.dumps(salted) + (tmp_path / "page.html").read_text()
    row = salted["checks"]["inverted_images"]["flags"][0]["cases"][0][0]
    study, patient = (corpus.cell(name, row["row"]) for name in ("study_id", "patient_id"))
    assert row == {"row": row["row"], "split": corpus.cell("split", row["row"]), "id": row_id(study)}
    assert row_id("s1") != row_id("s2") != "s2"
    assert not re.search(r"\b[sp]0000\d+|Smith|Secret", text)
    shown = check_and_write(leaking, tmp_path, show_ids=True)
    named = shown["checks"]["inverted_images"]["flags"][0]["cases"][0][0]
    assert named == row | {"study_id": study, "patient_id": patient}
    assert study not in (tmp_path / "page.html").read_text()


def test_the_page_holds_images_only_with_cases(leaking, tmp_path, capsys):
    call("check", leaking, "--out", tmp_path)
    assert "<img" not in (tmp_path / "page.html").read_text()
    call("check", leaking, "--out", tmp_path, "--with-cases")
    assert (tmp_path / "page.html").read_text().count("<img") == 2 + 2 + 1
    assert "treat it as patient data" in capsys.readouterr().err


@pytest.mark.parametrize("with_cases", [False, True])
def test_the_page_is_well_formed_and_needs_nothing_else(leaking, with_cases):
    checked = check_corpus(open_corpus(leaking))
    shown = page(checked, as_json(checked), with_cases=with_cases)
    Balanced(shown)
    assert not re.findall(r"https?://|<script|@import|url\(|<iframe", shown)
    for title in CHECKS.values():
        assert title in shown


def test_what_comes_from_outside_is_escaped(leaking):
    checked = check_corpus(open_corpus(leaking))
    report = as_json(checked)
    names = ("train", *checked.labels)
    changed = replace(
        checked,
        splits=tuple(split.replace("train", f"train{EVIL}") for split in checked.splits),
        labels=hostile(checked.labels, names=names),
    )
    shown = page(changed, hostile(report, kept=("state",), names=names), with_cases=True)
    assert_escaped(shown, page(checked, report, with_cases=True))


def test_every_check_has_advice():
    assert set(ADVICE) == set(CHECKS)


def test_a_corpus_of_one_split_says_that_it_was_not_compared(clean, tmp_path):
    def plant(rows):
        rows[:] = [row for row in rows if row["split"] == "train"]

    corpus = planted(clean, tmp_path / "corpus", plant)
    report = check_and_write(corpus.path, tmp_path / "out")
    assert report["passed"]
    assert report["checks"]["patients"]["state"] == "one split"
    assert report["checks"]["blank_images"]["state"] == "clear"
    assert "nothing to leak between" in report["verdict"]


def test_what_is_no_corpus_is_a_wrong_call_and_makes_no_folder(tmp_path, capsys):
    assert call("check", tmp_path / "nowhere") == 2
    assert "no such folder" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_thousand_clean_phantoms_raise_no_alarm_and_workers_change_nothing(tmp_path):
    corpus = open_corpus(phantom_corpus(tmp_path / "corpus", count=2000, seed=4))
    one, two = (check_corpus(corpus, workers=workers) for workers in (1, 2))
    assert [flag.said for flag in one.flags if flag.severity != "note"] == []
    assert one.flags == two.flags
