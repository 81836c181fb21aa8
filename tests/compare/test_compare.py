"""The command from end to end on a tiny corpus."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medistill.compare.pool import Pool
from medistill.errors import CallError
from tests.cli.test_cli import call, one_line
from tests.compare.test_worker import wait_until

SHAPE = ["--size", 32, "--window", 16, "--min-patients", 1, "--no-augment", "--log-every", 1]


def arguments(data: Path, out: Path, *more: object) -> list[object]:
    return ["compare", "small", "--data", data, "--out", out, *SHAPE, "--objectives", *more]


def test_a_wrong_call_is_one_line_and_leaves_nothing_behind(tiny_corpus, tmp_path, capsys):
    out = tmp_path / "out"
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"msd": {"windw": 3}}))
    for more, said in (
        (["clip", "klip"], "'klip' is no objective"),
        (["msd"], "the baseline 'clip' is not among"),
        (["clip", "msd", "--settings", settings], "no field 'windw'"),
        (["clip", "msd", "--jobs", 0], "--jobs is 0"),
        (["clip", "msd", "--window", 64], "largest window is 40"),
        (["clip", "--budgets", "money"], "money"),
        (["clip", "msd", "--device", "gpu"], "expected auto, cpu, cuda or cuda:N"),
    ):
        assert call(*arguments(tiny_corpus, out, *more)) == 2
        assert said in one_line(capsys)
        assert not out.exists()


@pytest.mark.parametrize(("flag", "left"), [((), "3"), (("--device", "cpu"), "")])
def test_cells_see_the_device_that_the_command_says(tiny_corpus, tmp_path, monkeypatch, capsys, flag, left):
    seen = []

    def stop(*_):
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        raise CallError("far enough")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(Pool, "run", stop)
    assert call(*arguments(tiny_corpus, tmp_path / "out", "clip", "msd", *flag)) == 2
    assert "far enough" in one_line(capsys)
    assert seen == [left]


def test_every_recipe_field_is_a_flag(capsys):
    assert call("compare", "small", "--help") == 0
    shown = capsys.readouterr().out
    assert "--micro-per-step" in shown
    assert "--trials" in shown


def test_a_corpus_without_a_test_split_is_refused(tmp_path, capsys):
    from tests.cli.test_cli import write_csv

    path = write_csv(tmp_path, rows=60)
    assert call("prepare", "csv", path, "--out", tmp_path / "corpus", "--workers", 1, "--test", 0) == 0
    capsys.readouterr()
    assert call(*arguments(tmp_path / "corpus", tmp_path / "out", "clip", "msd")) == 2
    assert "no test split" in one_line(capsys)


@pytest.mark.slow
def test_objectives_are_tuned_trained_and_reported(tiny_corpus, tmp_path, capsys):
    """One of the three cannot train at all; everything else is as if it were not there."""
    out, settings = tmp_path / "out", tmp_path / "settings.json"
    settings.write_text(json.dumps({"wild": {"objective": "msd", "lr": 1e30, "warmup": 0.0}}))
    more = ["clip", "msd", "wild", "--settings", settings, "--epochs", 2, "--seeds", 2, "--trials", 2]
    assert call(*arguments(tiny_corpus, out, *more, "--jobs", 2, "--json")) == 0
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert results == json.loads((out / "results.json").read_text())
    assert set(results["budgets"]) == {"samples", "time"}
    wild = results["budgets"]["samples"]["wild"]
    assert "every tuning trial failed" in wild["failed"]["reasons"][0]
    assert wild["metrics"] == {}
    for budget in results["budgets"].values():
        recall = budget["msd"]["differences"]["retrieval/i2t_r@10"]
        assert (recall["value"], recall["n_seeds"]) == (0.0, 2)  # of 10 test pairs all are found
    assert [len(tuned["trials"]) for tuned in results["tuning"].values()] == [2, 2, 2]
    assert "wild failed" in (out / "page.html").read_text()
    assert "R@10, unique reports" in captured.err
    folders = {path.name for path in (out / "cells").iterdir()}
    assert {"tuning-clip-0", "tuning-wild-1", "final-clip-2-0", "final-clip-2-1"} <= folders
    assert not list(out.glob("cells/*/run/checkpoints"))
    assert (out / "cells" / "final-msd-2-0" / "run" / "model").is_dir()
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}
    assert call(*arguments(tiny_corpus, out, *more, "--json")) == 0
    assert json.loads(capsys.readouterr().out) == results
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert call(*arguments(tiny_corpus, out, *more, "--lr", 2e-3)) == 2
    assert "differs in lr" in one_line(capsys)


def figures(out: Path) -> dict:
    """What must not depend on how often the command was stopped: all but the costs."""
    results = json.loads((out / "results.json").read_text())
    parts = ("metrics", "differences", "seeds", "failed")
    return {label: {part: s[part] for part in parts} for label, s in results["budgets"]["samples"].items()}


def command(data: Path, out: Path) -> list[str]:
    """Two cells at once that take long enough to be stopped."""
    short = ["--epochs", 15, "--seeds", 1, "--trials", 0, "--budgets", "samples", "--jobs", 2]
    given = arguments(data, out, "clip", "msd", *short, "--checkpoint-seconds", 0)
    return [sys.executable, "-m", "medistill", *map(str, given)]


@pytest.fixture(scope="module")
def uninterrupted(tiny_corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("compare") / "whole"
    subprocess.run(command(tiny_corpus, out), check=True, capture_output=True)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_or_killed_goes_on_to_the_same_figures(
    uninterrupted, tiny_corpus, tmp_path, number
):
    out = tmp_path / "out"
    child = subprocess.Popen(
        command(tiny_corpus, out), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until(lambda: len(list(out.glob("cells/*/run/checkpoints/last.pt"))) == 2)
    os.killpg(child.pid, number)
    _, error = child.communicate(timeout=300)
    assert child.returncode in (1, -number)
    assert not (out / "results.json").exists()
    if number != signal.SIGKILL:
        assert "run the same command again to go on" in error
        assert "Traceback" not in error
    subprocess.run(command(tiny_corpus, out), check=True, capture_output=True)
    assert figures(out) == figures(uninterrupted)
