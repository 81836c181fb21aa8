"""Whole runs: the same weights twice, after a kill, after a stop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import medistill
from medistill.data.corpus import open_corpus
from medistill.engine.checkpoint import load_checkpoint
from medistill.engine.step import train_window
from medistill.engine.track import best_validation, read_track
from medistill.errors import CallError, MedistillError
from medistill.pretrain import make_validate, pretrain
from medistill.recipe import Encoder, read_config, to_config
from medistill.system.locks import locked
from tests.conftest import tiny_model, tiny_recipe, write_noise_corpus

ROOT = Path(__file__).parents[1]
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def hard_recipe(**changes):
    """All that must survive a resume: dropout, augmentation, a queue, a short last window."""
    bert = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = Encoder(type="bert", config={**bert, **DROPOUT})
    values = {"text": text, "augment": True, "queue": 12, "queue_warmup": 1.0, "window": 12, "micro_batch": 5}
    return tiny_recipe(**{**values, "epochs": 3, "checkpoint_seconds": 0.0, "log_every": 1, **changes})


def silent(pairs, pairs_in_all, loss) -> None:
    """Watch nothing."""


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Student, teacher and delivered model at the end of a run."""
    state = load_checkpoint(run / "checkpoints")
    delivered = load_file(run / "model" / "model.safetensors")
    parts = {"student": state["student"], "delivered": delivered}
    if state["method"]:
        parts["teacher"] = state["method"]["teacher"]
    return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}


def assert_same_weights(run: Path, other: Path) -> None:
    mine, theirs = weights(run), weights(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


@pytest.fixture(scope="module")
def uninterrupted(tiny_corpus, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    pretrain(hard_recipe(), tiny_corpus, run, watch=silent)
    return run


def test_a_run_folder_holds_what_the_design_says(uninterrupted):
    names = {p.name for p in uninterrupted.iterdir()}
    assert names == {"config.json", "metrics.jsonl", "checksums.json", "checkpoints", "model"}
    assert medistill.load(uninterrupted).dim == 8
    lines = read_track(uninterrupted)
    assert [line["pairs"] for line in lines if "loss" in line][-1] == 3 * 40
    assert all(0 <= line["val/i2t_r@10"] <= 1 for line in lines if "val/loss" in line)


def test_the_same_seed_gives_bitwise_the_same_weights(uninterrupted, tiny_corpus, tmp_path):
    pretrain(hard_recipe(), tiny_corpus, tmp_path / "again", watch=silent)
    assert_same_weights(uninterrupted, tmp_path / "again")


@pytest.mark.parametrize("change", [{"seed": 1}, {"augment_strength": 2.0}])
def test_another_seed_or_other_views_give_other_weights(uninterrupted, tiny_corpus, tmp_path, change):
    pretrain(hard_recipe(**change), tiny_corpus, tmp_path / "other", watch=silent)
    with pytest.raises(AssertionError):
        assert_same_weights(uninterrupted, tmp_path / "other")


class BrokenOff(Exception):  # noqa: N818
    """Stands in for whatever ends a process between two windows."""


def break_off_after(windows: int):
    """A watch that ends the run, as a crash would, in the window after so many."""
    seen = []

    def watch(pairs, pairs_in_all, loss):
        seen.append(pairs)
        if len(seen) > windows:
            raise BrokenOff

    return watch


@pytest.mark.parametrize("windows", [1, 5, 8])
def test_a_run_broken_off_goes_on_to_bitwise_the_same_weights(uninterrupted, tiny_corpus, tmp_path, windows):
    run = tmp_path / "run"
    with pytest.raises(BrokenOff):
        pretrain(hard_recipe(), tiny_corpus, run, watch=break_off_after(windows))
    torch.rand(7)
    pretrain(hard_recipe(), tiny_corpus, run, watch=silent)
    assert_same_weights(uninterrupted, run)
    kept = [{k: v for k, v in line.items() if k != "pairs_per_second"} for line in read_track(run)]
    whole = [{k: v for k, v in line.items() if k != "pairs_per_second"} for line in read_track(uninterrupted)]
    assert kept == whole


def test_workers_give_the_same_weights_and_may_change_on_resume(uninterrupted, tiny_corpus, tmp_path):
    pretrain(hard_recipe(workers=1), tiny_corpus, tmp_path / "workers", watch=silent)
    assert_same_weights(uninterrupted, tmp_path / "workers")


def test_a_finished_run_trains_no_further(uninterrupted, tiny_corpus):
    before = (uninterrupted / "metrics.jsonl").read_bytes()
    pretrain(hard_recipe(), tiny_corpus, uninterrupted, watch=silent)
    assert (uninterrupted / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "change", [{"objective": "clip"}, {"deliver": "student"}, {"micro_per_step": 3}, {"head": "gated"}]
)
def test_other_recipes_resume_to_the_same_weights_too(tiny_corpus, tmp_path, change):
    recipe = hard_recipe(**change)
    pretrain(recipe, tiny_corpus, tmp_path / "one", watch=silent)
    with pytest.raises(BrokenOff):
        pretrain(recipe, tiny_corpus, tmp_path / "two", watch=break_off_after(5))
    pretrain(recipe, tiny_corpus, tmp_path / "two", watch=silent)
    assert_same_weights(tmp_path / "one", tmp_path / "two")


def test_a_micro_batch_halved_for_want_of_memory_stays_so_on_resume(tiny_corpus, tmp_path, monkeypatch):
    sizes = []

    def short_at_first(*given, batching, **more):
        if not sizes:
            batching.halve()
        sizes.append(batching.micro)
        return train_window(*given, batching=batching, **more)

    monkeypatch.setattr("medistill.engine.loop.train_window", short_at_first)
    with pytest.raises(BrokenOff):
        pretrain(hard_recipe(), tiny_corpus, tmp_path / "run", watch=break_off_after(2))
    pretrain(hard_recipe(), tiny_corpus, tmp_path / "run", watch=silent)
    assert set(sizes) == {3}


def test_the_delivered_model_is_that_of_the_best_validation(tiny_corpus, tmp_path):
    """Of 10 validation pairs recall@10 is always 1, so the loss decides."""
    run = tmp_path / "run"
    pretrain(tiny_recipe(epochs=4, lr=3e-3), tiny_corpus, run, watch=silent)
    validations = [line for line in read_track(run) if "val/loss" in line]
    best = best_validation(run)
    assert best["val/loss"] == min(line["val/loss"] for line in validations)
    rows = open_corpus(tiny_corpus).split("val")
    measured = make_validate(rows, size=32, most=100)(medistill.load(run))
    assert measured["loss"] == pytest.approx(best["val/loss"], rel=1e-5)


def test_a_run_of_another_corpus_is_refused(uninterrupted, tmp_path):
    other = tmp_path / "other"
    write_noise_corpus(other, seed=5)
    with pytest.raises(CallError, match="another corpus"):
        pretrain(hard_recipe(), other, uninterrupted, watch=silent)


@pytest.mark.parametrize("windows", [2, 6])
def test_a_damaged_checkpoint_costs_a_window(uninterrupted, tiny_corpus, tmp_path, caplog, windows):
    run = tmp_path / "run"
    with pytest.raises(BrokenOff):
        pretrain(hard_recipe(), tiny_corpus, run, watch=break_off_after(windows))
    last = run / "checkpoints" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 3] ^= 1
    last.write_bytes(content)
    pretrain(hard_recipe(), tiny_corpus, run, watch=silent)
    assert "checkpoints/last.pt is damaged: going on from the one before it" in caplog.messages
    assert_same_weights(uninterrupted, run)
    assert [line["pairs"] for line in read_track(run)] == [
        line["pairs"] for line in read_track(uninterrupted)
    ]


def test_a_run_without_a_checkpoint_takes_the_corrected_recipe(tiny_corpus, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(BrokenOff):
        pretrain(tiny_recipe(checkpoint_seconds=1e9, epochs=1), tiny_corpus, run, watch=break_off_after(0))
    pretrain(tiny_recipe(epochs=1, alpha=0.1), tiny_corpus, run, watch=silent)
    assert read_config(run / "config.json").alpha == 0.1


def test_two_processes_cannot_train_in_one_folder(tiny_corpus, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with locked(run), pytest.raises(CallError, match="another process"):
        pretrain(tiny_recipe(), tiny_corpus, run, watch=silent)


def test_the_metrics_of_a_resumed_run_survive_a_lost_file(tiny_corpus, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(BrokenOff):
        pretrain(hard_recipe(), tiny_corpus, run, watch=break_off_after(5))
    (run / "metrics.jsonl").unlink()
    pretrain(hard_recipe(), tiny_corpus, run, watch=silent)
    assert b"\0" not in (run / "metrics.jsonl").read_bytes()
    assert read_track(run)


def test_a_run_of_another_recipe_is_refused_by_the_fields_that_differ(uninterrupted, tiny_corpus):
    with pytest.raises(CallError, match=r"differs in alpha: .* there, .* here, lr: "):
        pretrain(hard_recipe(lr=2e-3, alpha=0.1), tiny_corpus, uninterrupted, watch=silent)


def test_a_folder_with_other_files_is_not_taken_for_a_run(tiny_corpus, tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(CallError, match="holds no run"):
        pretrain(hard_recipe(), tiny_corpus, tmp_path, watch=silent)


def test_a_window_larger_than_the_corpus_names_the_largest(tiny_corpus, tmp_path):
    with pytest.raises(CallError, match="largest window is 40"):
        pretrain(tiny_recipe(window=41), tiny_corpus, tmp_path / "run", watch=silent)
    assert not (tmp_path / "run").exists()


def test_training_never_reads_the_test_split(tiny_corpus, tmp_path, monkeypatch):
    from medistill.data.corpus import Corpus

    asked = []
    split = Corpus.split

    def spy(self, name):
        asked.append(name)
        return split(self, name)

    monkeypatch.setattr(Corpus, "split", spy)
    pretrain(tiny_recipe(epochs=1), tiny_corpus, tmp_path / "run", watch=silent)
    assert set(asked) == {"train", "val"}


def test_a_run_starts_from_another_model(tiny_corpus, tmp_path):
    pretrain(tiny_recipe(epochs=1), tiny_corpus, tmp_path / "first", watch=silent)
    start = {"init": str(tmp_path / "first"), "lr": 1e-12, "deliver": "student"}
    pretrain(tiny_recipe(epochs=1, **start), tiny_corpus, tmp_path / "second", watch=silent)
    first, second = (load_file(tmp_path / r / "model" / "model.safetensors") for r in ("first", "second"))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def test_a_model_of_another_size_cannot_start_a_run(tiny_corpus, tmp_path):
    from medistill.model.saved import save_model

    save_model(tiny_model(tiny_recipe(size=48)), tmp_path / "model")
    with pytest.raises(CallError, match="--size 48"):
        pretrain(tiny_recipe(init=str(tmp_path / "model")), tiny_corpus, tmp_path / "run", watch=silent)


def test_a_hopeless_learning_rate_stops_with_a_reason(tiny_corpus, tmp_path):
    recipe = tiny_recipe(lr=1e30, warmup=0.0, epochs=4, log_every=1)
    with pytest.raises(MedistillError, match="lower --lr"):
        pretrain(recipe, tiny_corpus, tmp_path / "run", watch=silent)


def process_call(recipe, corpus: Path, run: Path) -> list[str]:
    arguments = [json.dumps(to_config(recipe)), str(corpus), str(run)]
    return [sys.executable, "-m", "tests.run_process", *arguments]


def process(recipe, corpus: Path, run: Path) -> subprocess.Popen:
    command = process_call(recipe, corpus, run)
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)


def ended(child: subprocess.Popen) -> tuple[int, str]:
    """Exit status and what was written to standard error."""
    _, error = child.communicate(timeout=600)
    return child.returncode, error


def wait_for_window(run: Path) -> None:
    """Until the process that was just started has trained a window."""
    track, before = run / "metrics.jsonl", 0.0
    if track.is_file():
        before = track.stat().st_mtime
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if track.is_file() and track.stat().st_mtime > before and read_track(run):
            return
        time.sleep(0.005)
    raise AssertionError("no window within five minutes")


def wait_for_writing(checkpoints: Path) -> bool:
    """Until a checkpoint is half written; False if none is met within a second."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if any(checkpoints.glob(".last.pt.*")):
            return True
    return False


@contextmanager
def forked(recipe, corpus: Path, run: Path) -> Generator[Callable[[], tuple[int, Callable[[], int]]]]:
    """Starts a run each time it is called: its process id, and what waits for its exit status."""
    command = [*process_call(recipe, corpus, run), "forked"]
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=ROOT, **pipes, text=True) as parent:

        def start() -> tuple[int, Callable[[], int]]:
            parent.stdin.write("\n")
            parent.stdin.flush()
            return int(parent.stdout.readline()), lambda: int(parent.stdout.readline())

        yield start


@pytest.mark.slow
def test_thirty_kills_leave_a_run_that_ends_in_bitwise_the_same_weights(tiny_corpus, tmp_path):
    """At random moments; every third while a checkpoint is being written, known by its temporary file."""
    recipe, at_ease = hard_recipe(epochs=150), hard_recipe(epochs=150, checkpoint_seconds=1e9)
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert ended(process(at_ease, tiny_corpus, whole))[0] == 0
    random, killed, in_writing = np.random.default_rng(0), 0, 0
    with forked(recipe, tiny_corpus, run) as start:
        while killed < 30:
            child, status = start()
            wait_for_window(run)
            if killed % 3 == 0:
                in_writing += wait_for_writing(run / "checkpoints")
            else:
                time.sleep(random.uniform(0, 0.2))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            killed += status() == -signal.SIGKILL
            assert not (run / "checkpoints" / "last.pt").exists() or load_checkpoint(run / "checkpoints")
    assert in_writing >= 5
    assert ended(process(at_ease, tiny_corpus, run))[0] == 0
    assert_same_weights(whole, run)


@pytest.mark.slow
def test_sigterm_finishes_the_window_saves_and_says_so(tiny_corpus, tmp_path):
    recipe = hard_recipe(epochs=200, checkpoint_seconds=1e9, validate_every=100.0, workers=1)
    run = tmp_path / "run"
    child = process(recipe, tiny_corpus, run)
    while not read_track(run):
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGTERM)
    status, error = ended(child)
    assert status == 1
    assert "run the same command again" in error
    assert load_checkpoint(run / "checkpoints")["position"]["window"] > 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux names a process's children")
def test_a_worker_that_is_killed_ends_the_run_with_advice(tiny_corpus, tmp_path):
    """In a process without shape checks: they would turn an error that arrives within them into their own."""
    child = process(tiny_recipe(workers=1, epochs=2000, log_every=1), tiny_corpus, tmp_path / "run")
    wait_for_window(tmp_path / "run")
    for worker in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split():
        os.kill(int(worker), signal.SIGKILL)
    status, error = ended(child)
    assert status != 0
    assert "lower --workers" in error
