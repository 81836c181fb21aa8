"""Cells in processes of their own: one failure costs one cell."""

import logging
import signal

import pytest

from medistill.compare.cell import RUN, Cell, failure, prepare_folder, read_result, write_result
from medistill.compare.pool import Pool, finished, last_words, threads
from medistill.data.prepare import cores
from medistill.errors import MedistillError
from tests.compare.conftest import trained
from tests.conftest import tiny_recipe

GOOD, ENDLESS = {"epochs": 1}, {"epochs": 100_000, "validate_every": 1000.0}


def tuning_cell(trial: int, **changes) -> Cell:
    return Cell(label="clip", recipe=tiny_recipe(objective="clip", **changes), trial=trial)


def unheard(shares) -> None:
    pass


def make_pool(out, data, jobs=2, stopping=lambda: False) -> Pool:
    return Pool(out, data, jobs, stopping)


def test_outcomes_stand_but_what_may_be_the_machines_fault_is_tried_again(tmp_path):
    outcomes = {
        0: (trained(), True),
        1: (failure("collapsed", retry=False), True),
        2: (failure("killed", retry=True), False),
    }
    for trial, (result, stands) in outcomes.items():
        cell = tuning_cell(trial)
        write_result(prepare_folder(cell, tmp_path), result)
        assert finished(cell, tmp_path) == stands
    assert not finished(tuning_cell(3), tmp_path)


def test_finished_cells_start_no_process(tmp_path):
    cell = tuning_cell(0)
    write_result(prepare_folder(cell, tmp_path), trained())
    make_pool(tmp_path, tmp_path / "no corpus").run([cell], unheard)
    assert read_result(cell, tmp_path) == trained()


def test_threads_are_shared_out_and_never_none():
    assert threads(1) == cores()
    assert threads(10_000) == 1


def test_the_last_words_of_a_process_are_its_signal_or_the_end_of_its_log(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("Traceback\nImportError: no torch here\n")
    assert last_words(-signal.SIGKILL, path) == (
        "its process was killed by SIGKILL; running out of memory is the usual cause"
    )
    assert last_words(1, path) == "its process ended with status 1: ImportError: no torch here"
    path.write_text("")
    assert "no message" in last_words(1, path)


@pytest.mark.slow
def test_a_failed_and_a_killed_cell_cost_no_other(tiny_corpus, tmp_path, caplog):
    good, hopeless = tuning_cell(0, **GOOD), tuning_cell(1, lr=1e30, log_every=1)
    killed = tuning_cell(2, **ENDLESS)
    seen = []

    def on_shares(shares):
        seen.append(dict(shares))
        path = killed.folder(tmp_path) / RUN / "metrics.jsonl"
        if path.is_file() and killed in pool.running:
            pool.running[killed].kill()

    pool = make_pool(tmp_path, tiny_corpus)
    with caplog.at_level(logging.WARNING):
        pool.run([good, hopeless, killed], on_shares)
    assert read_result(good, tmp_path)["failed"] is None
    assert "lower --lr" in read_result(hopeless, tmp_path)["failed"]
    assert "SIGKILL" in read_result(killed, tmp_path)["failed"]
    assert [finished(cell, tmp_path) for cell in (good, hopeless, killed)] == [True, True, False]
    assert not (good.folder(tmp_path) / RUN / "checkpoints").exists()
    assert sum("failed:" in record.message for record in caplog.records) == 2
    assert set(seen[-1].values()) == {1.0}


@pytest.mark.slow
def test_a_stop_ends_all_cells_saved_and_says_how_to_go_on(tiny_corpus, tmp_path):
    cells = [tuning_cell(trial, **ENDLESS) for trial in range(3)]
    runs = [cell.folder(tmp_path) / RUN for cell in cells]
    pool = make_pool(
        tmp_path, tiny_corpus, stopping=lambda: all((run / "metrics.jsonl").is_file() for run in runs[:2])
    )
    with pytest.raises(MedistillError, match=r"0 of 3 cells .* run the same command again"):
        pool.run(cells, unheard)
    assert pool.running == {}
    assert all((run / "checkpoints" / "last.pt").is_file() for run in runs[:2])
    assert not runs[2].exists()
    assert [read_result(cell, tmp_path) for cell in cells] == [None] * 3
