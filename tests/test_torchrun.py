"""Whole runs under torchrun: as one process would, without a hang, whatever dies."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from medistill.data.corpus import open_corpus
from medistill.engine.checkpoint import load_checkpoint
from medistill.engine.track import read_track
from medistill.recipe import to_config
from tests.conftest import tiny_recipe, write_noise_corpus
from tests.engine.test_ranks import launched, torchrun
from tests.test_pretrain import assert_same_weights, hard_recipe, wait_for_window

pytestmark = pytest.mark.slow


def run_on(ranks: int, recipe, corpus: Path, run: Path, *dying: str):
    return torchrun(
        ranks, "-m", "tests.run_process", json.dumps(to_config(recipe)), str(corpus), str(run), *dying
    )


@pytest.fixture(scope="module")
def of_two_ranks(tiny_corpus, tmp_path_factory) -> Path:
    """A run of one epoch; what goes on with it takes a copy."""
    run = tmp_path_factory.mktemp("ranks") / "run"
    done = run_on(2, hard_recipe(epochs=1), tiny_corpus, run)
    assert done.returncode == 0, done.stderr
    return run


def test_two_rank_runs_end_cleanly_in_the_same_weights(of_two_ranks, tiny_corpus, tmp_path):
    done = run_on(2, hard_recipe(epochs=1), tiny_corpus, tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_track(tmp_path)[-1]["pairs"] == len(open_corpus(tiny_corpus).split("train"))
    assert_same_weights(tmp_path, of_two_ranks)


@pytest.mark.parametrize("ending", ["whole", "failing"])
def test_no_ddp_module_outlives_the_process_group(tiny_corpus, tmp_path, ending):
    """One that does may hang the process at its end, now and then."""
    recipe = json.dumps(to_config(hard_recipe(epochs=1)))
    done = torchrun(2, "-m", "tests.ending_process", recipe, str(tiny_corpus), str(tmp_path), ending)
    assert done.stdout.splitlines() == ["alive: 0", "alive: 0"]
    assert ("as asked" in done.stderr) == (done.returncode != 0) == (ending == "failing")


def test_a_two_rank_run_that_was_killed_goes_on_to_the_same_weights(tiny_corpus, tmp_path):
    assert run_on(2, hard_recipe(), tiny_corpus, tmp_path / "whole").returncode == 0
    assert run_on(2, hard_recipe(), tiny_corpus, tmp_path / "run", "60").returncode != 0
    assert run_on(2, hard_recipe(), tiny_corpus, tmp_path / "run").returncode == 0
    assert_same_weights(tmp_path / "whole", tmp_path / "run")


def test_ranks_share_the_features_that_the_first_one_computed(tmp_path):
    write_noise_corpus(tmp_path / "corpus")
    towers = {
        name: dataclasses.replace(getattr(tiny_recipe(), name), locked=True) for name in ("image", "text")
    }
    done = run_on(2, tiny_recipe(epochs=1, **towers), tmp_path / "corpus", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "corpus" / "features").glob("*.npy"))) == 2
    assert "features" not in done.stderr


def test_each_rank_draws_its_own_dropout(tiny_corpus, tmp_path):
    """Where nothing draws, the random states at the end are those at the start."""
    assert run_on(2, hard_recipe(epochs=1, text=tiny_recipe().text), tiny_corpus, tmp_path).returncode == 0
    first, second = load_checkpoint(tmp_path / "checkpoints")["random"]
    assert not torch.equal(first["cpu"], second["cpu"])


def test_a_run_does_not_go_on_with_another_number_of_ranks(of_two_ranks, tiny_corpus, tmp_path):
    run = shutil.copytree(of_two_ranks, tmp_path / "run")
    done = run_on(1, hard_recipe(epochs=1), tiny_corpus, run)
    assert done.returncode != 0
    assert "another number of ranks" in done.stderr


def test_a_rank_that_dies_ends_the_job_with_a_message(tiny_corpus, tmp_path):
    done = run_on(3, hard_recipe(epochs=500, window=12, micro_batch=2), tiny_corpus, tmp_path / "run", "24")
    assert done.returncode != 0
    assert "lost the others" in done.stderr


def terminate_one_rank(job):
    rank, *_ = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    os.kill(int(rank), signal.SIGTERM)


@pytest.mark.parametrize("terminate", [subprocess.Popen.terminate, terminate_one_rank])
def test_sigterm_to_any_of_them_finishes_the_window_on_all_ranks_and_saves(tiny_corpus, tmp_path, terminate):
    recipe = hard_recipe(epochs=2000, checkpoint_seconds=1e9, validate_every=2000.0)
    job = launched(
        2, "-m", "tests.run_process", json.dumps(to_config(recipe)), str(tiny_corpus), str(tmp_path)
    )
    wait_for_window(tmp_path)
    terminate(job)
    _, error = job.communicate(timeout=300)
    assert job.returncode != 0
    assert "run the same command again" in error
    assert load_checkpoint(tmp_path / "checkpoints")["position"]["window"] > 0


def test_a_window_that_ranks_cannot_share_is_refused(tiny_corpus, tmp_path):
    done = run_on(2, hard_recipe(window=11), tiny_corpus, tmp_path / "run")
    assert done.returncode != 0
    assert "window 11 cannot be shared by 2 ranks; set --window 10" in done.stderr
