"""A folder belongs to one comparison."""

import json

import pytest

from medistill.compare.comparison import SETTINGS, claim_settings
from medistill.errors import CallError
from tests.compare.conftest import tiny_comparison
from tests.conftest import forget_checksums, tiny_recipe


@pytest.mark.parametrize(
    ("changes", "corpus", "said"),
    [
        ({"recipe": tiny_recipe(lr=2e-3)}, "abc", r"differs in lr\)"),
        ({"recipe": tiny_recipe(window=16, epochs=3)}, "abc", r"differs in window, epochs\)"),
        ({}, "other", r"differs in corpus\)"),
        ({"seeds": 5}, "abc", r"differs in seeds\)"),
        ({"trials": 3, "budgets": ("samples", "time")}, "abc", r"differs in trials, budgets\)"),
        ({"settings": {"msd": {"alpha": 0.1}}}, "abc", r"differs in objectives\)"),
        ({"labels": ("clip",)}, "abc", r"differs in objectives\)"),
    ],
)
def test_another_comparison_is_refused_by_what_differs(tmp_path, changes, corpus, said):
    claim_settings(tiny_comparison(), "abc", tmp_path / "out")
    before = (tmp_path / "out" / SETTINGS).read_bytes()
    with pytest.raises(CallError, match=said):
        claim_settings(tiny_comparison(**changes), corpus, tmp_path / "out")
    assert (tmp_path / "out" / SETTINGS).read_bytes() == before


def test_the_same_comparison_goes_on_and_may_log_more_often(tmp_path):
    claim_settings(tiny_comparison(), "abc", tmp_path / "out")
    claim_settings(tiny_comparison(recipe=tiny_recipe(log_every=1, workers=2)), "abc", tmp_path / "out")


def test_a_comparison_begun_before_a_field_was_added_goes_on(tmp_path):
    comparison = tiny_comparison(settings={"msd": {"text": {"pooling": "cls"}}})
    claim_settings(comparison, "abc", tmp_path / "out")
    path = tmp_path / "out" / SETTINGS
    settings = json.loads(path.read_text())
    del settings["recipe"]["graphs"]
    for tower in (settings["recipe"]["image"], settings["objectives"]["msd"]["text"]):
        del tower["locked"]
    forget_checksums(tmp_path)
    path.write_text(json.dumps(settings))
    claim_settings(comparison, "abc", tmp_path / "out")
    with pytest.raises(CallError, match=r"differs in objectives\)"):
        claim_settings(tiny_comparison(settings={"msd": {"text": {"locked": True}}}), "abc", tmp_path / "out")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(CallError, match="holds no comparison"):
        claim_settings(tiny_comparison(), "abc", tmp_path)


def test_settings_name_only_what_an_objective_has_of_its_own():
    settings = tiny_comparison(settings={"msd": {"alpha": 0.1}}).settings("abc")
    assert settings["objectives"] == {
        "clip": {"objective": "clip"},
        "msd": {"objective": "msd", "alpha": 0.1},
    }
    json.dumps(settings, allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "siglip"}, "not among --objectives"),
        ({"seeds": 0}, "--seeds is 0"),
        ({"seeds": 1001}, "1..1000"),
        ({"trials": -1}, "--trials is -1"),
        ({"budgets": ("samples", "money")}, "money"),
        ({"budgets": ()}, "none"),
        ({"budgets": ("time", "time")}, "each once"),
        ({"recipe": tiny_recipe(seed=3)}, "sets its seeds itself"),
    ],
)
def test_a_comparison_that_cannot_be_is_one_line(changes, said):
    with pytest.raises(CallError, match=said):
        tiny_comparison(**changes)
