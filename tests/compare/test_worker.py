"""One cell in its process: what it reads, leaves and survives."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from medistill.compare.cell import (
    CONFIG,
    RESULT,
    RUN,
    SPENT,
    SPREAD,
    Cell,
    prepare_folder,
    read_result,
    read_spread,
)
from medistill.compare.worker import Meter, run_cell
from medistill.data.corpus import Corpus
from medistill.system.locks import locked
from tests.conftest import tiny_recipe


def prepared(out: Path, *, trial: int | None = None, **changes) -> tuple[Cell, Path]:
    cell = Cell(label="msd", recipe=tiny_recipe(log_every=1, **changes), trial=trial)
    return cell, prepare_folder(cell, out)


@pytest.fixture
def splits_read(monkeypatch) -> list[str]:
    asked: list[str] = []
    split = Corpus.split
    monkeypatch.setattr(Corpus, "split", lambda self, name: (asked.append(name), split(self, name))[1])
    return asked


def test_a_tuning_cell_never_reads_the_test_split(tiny_corpus, tmp_path, splits_read):
    cell, folder = prepared(tmp_path, trial=0)
    run_cell(folder, tiny_corpus, final=cell.final)
    result = read_result(cell, tmp_path)
    assert set(splits_read) == {"train", "val"}
    assert result["failed"] is None
    assert "metrics" not in result
    validation = result["validation"]
    assert result["recall"] == (validation["val/i2t_r@10"] + validation["val/t2i_r@10"]) / 2


def test_a_final_cell_leaves_figures_resamples_and_costs(tiny_corpus, tmp_path, splits_read):
    cell, folder = prepared(tmp_path)
    run_cell(folder, tiny_corpus, final=cell.final)
    result = read_result(cell, tmp_path)
    assert "test" in splits_read
    assert (result["pairs"], result["steps"]) == (80, 20)
    assert result["teacher_half_life_pairs"] > 0
    assert result["cpu_ms_per_pair"] > 0
    assert result["cpu_seconds"] > 0
    assert result["peak_memory_bytes"] > 100 * 2**20
    spread = read_spread(cell, tmp_path)
    recall = result["metrics"]["retrieval"]["i2t_r@10"]
    assert spread["retrieval/i2t_r@10"].shape == (1000,)
    assert np.percentile(spread["retrieval/i2t_r@10"], 2.5) == pytest.approx(recall["low"], abs=1e-6)
    assert (folder / SPREAD).stat().st_size < 300_000


def test_a_hopeless_learning_rate_is_the_outcome_of_its_cell(tiny_corpus, tmp_path):
    cell, folder = prepared(tmp_path, lr=1e30, warmup=0.0)
    run_cell(folder, tiny_corpus, final=True)
    result = read_result(cell, tmp_path)
    assert "lower --lr" in result["failed"]
    assert "\n" not in result["failed"]
    assert result["retry"] is False


def test_a_cell_killed_before_it_began_starts_anew(tiny_corpus, tmp_path):
    cell, folder = prepared(tmp_path, trial=0)
    (folder / RUN).mkdir()
    (folder / RUN / ".config.json.partial").write_text("{")
    prepare_folder(cell, tmp_path)
    run_cell(folder, tiny_corpus, final=False)
    assert read_result(cell, tmp_path)["failed"] is None


@pytest.mark.parametrize("damaged", ["corpus", "checkpoint"])
def test_what_training_did_not_do_itself_is_tried_again(tiny_corpus, tmp_path, damaged):
    cell, folder = prepared(tmp_path)
    if damaged == "checkpoint":
        (folder / RUN / "checkpoints").mkdir(parents=True)
        (folder / RUN / CONFIG).write_bytes((folder / CONFIG).read_bytes())
        (folder / RUN / "checkpoints" / "last.pt").write_bytes(b"not a checkpoint")
    run_cell(folder, tiny_corpus if damaged == "checkpoint" else tmp_path, final=True)
    result = read_result(cell, tmp_path)
    assert result["retry"] is True
    assert damaged in result["failed"]


def test_a_cell_waits_for_the_process_that_still_works_on_it(tmp_path):
    entered = threading.Event()

    def second() -> None:
        with locked(tmp_path):
            entered.set()

    thread = threading.Thread(target=second)
    with locked(tmp_path):
        thread.start()
        assert not entered.wait(0.2)
    thread.join(10)
    assert entered.is_set()


def test_the_meter_adds_up_over_restarts_and_keeps_the_longer_ones_cost(tmp_path):
    first = Meter(tmp_path / SPENT)
    for window in range(1, 6):
        sum(range(20_000))
        first(8 * window, 80, 1.0)
    first.save()
    before = json.loads((tmp_path / SPENT).read_text())
    second = Meter(tmp_path / SPENT)
    second(48, 80, 1.0)
    second(56, 80, 1.0)
    after = second.spent()
    assert (before["windows"], before["share"]) == (4, 0.5)
    assert before["cpu_ms_per_pair"] > 0
    assert after["cpu_ms_per_pair"] == before["cpu_ms_per_pair"]
    assert after["cpu_seconds"] >= before["cpu_seconds"]
    assert after["share"] == 0.7


def process(folder: Path, data: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "medistill.compare.worker", str(folder), str(data), "final", "0"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_until(happened, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def ended(child: subprocess.Popen) -> tuple[int, str]:
    """Exit status and what was written to standard error."""
    _, error = child.communicate(timeout=600)
    return child.returncode, error


LENGTHY = {"epochs": 15, "checkpoint_seconds": 0.0}


@pytest.fixture(scope="module")
def uninterrupted(tiny_corpus, tmp_path_factory) -> tuple[Cell, Path]:
    out = tmp_path_factory.mktemp("cell")
    cell, folder = prepared(out, **LENGTHY)
    assert ended(process(folder, tiny_corpus))[0] == 0
    return cell, out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cell_that_is_stopped_or_killed_goes_on_to_the_same_figures(
    uninterrupted, tiny_corpus, tmp_path, number
):
    cell, folder = prepared(tmp_path, **LENGTHY)
    child = process(folder, tiny_corpus)
    wait_until(lambda: (folder / RUN / "checkpoints" / "last.pt").is_file())
    child.send_signal(number)
    status, error = ended(child)
    assert status == (1 if number == signal.SIGTERM else -number)
    assert number == signal.SIGKILL or "stopped on request" in error
    assert not (folder / RESULT).is_file()
    assert ended(process(folder, tiny_corpus))[0] == 0
    whole, out = uninterrupted
    model = Path(RUN) / "model" / "model.safetensors"
    first, second = load_file(whole.folder(out) / model), load_file(folder / model)
    assert all((first[name] == second[name]).all() for name in first)
    assert read_result(whole, out)["metrics"] == read_result(cell, tmp_path)["metrics"]


LAUNCH = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "medistill.compare.worker", *sys.argv[1:], "final", "0"])
print(child.pid, flush=True)
child.wait()
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else True


@pytest.mark.slow
def test_a_cell_whose_command_was_killed_saves_and_ends(tiny_corpus, tmp_path):
    _, folder = prepared(tmp_path, epochs=100_000, validate_every=1000.0)
    command = [sys.executable, "-c", LAUNCH, str(folder), str(tiny_corpus)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    pid = int(parent.stdout.readline())
    wait_until(lambda: (folder / RUN / "metrics.jsonl").is_file())
    parent.kill()
    parent.communicate()
    wait_until(lambda: not alive(pid))
    assert (folder / RUN / "checkpoints" / "last.pt").is_file()
    assert not (folder / RESULT).is_file()
