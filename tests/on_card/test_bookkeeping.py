"""`benchmarks/cuda.py`: its clock, its file and its tables, on a machine without a card."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.on_card import command
from benchmarks.on_card.clock import Clock, OutOfTimeError
from benchmarks.on_card.command import NAMES, NO_CARD, supervise
from benchmarks.on_card.measure import NO_ROOM, covered, race, reason, speeds, tried
from benchmarks.on_card.results import Results, table
from benchmarks.on_card.rows import NO_TIME, ROWS, Row, ends_of, run_row

from medistill.data.loader import Window

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cuda.py"
CPU = torch.device("cpu")


def window(pairs):
    ids = torch.arange(pairs)
    ones = torch.ones(pairs, 2, dtype=torch.bool)
    return Window(torch.zeros(pairs, 1, 1, dtype=torch.uint8), ones.long(), ones, ids, ids)


class Ticking:
    """A clock that goes on by what is asked of it."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


def test_the_rows_on_the_command_line_are_those_there_are():
    assert tuple(ROWS) == NAMES


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is about machines without a card")
def test_without_a_card_it_says_so_in_one_line_and_with_status_2(tmp_path):
    call = [sys.executable, str(SCRIPT), "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == NO_CARD == 2
    assert done.stderr.splitlines() == [command.NEEDS_A_CARD]
    assert not done.stdout


def test_a_clock_stops_what_would_end_too_late():
    ticking = Ticking()
    clock = Clock(10.0, ticking)
    clock.expect(10.0)
    ticking.time = 5.0
    with pytest.raises(OutOfTimeError):
        clock.expect(5.1)


def test_time_kept_for_the_last_row_is_not_taken_by_those_before():
    busy = ROWS["busy"].seconds
    assert ends_of(["embedding", "busy"], end=100.0, now=90.0) == 100.0 - busy
    assert ends_of(["busy"], end=100.0, now=0.0) == busy
    assert ends_of(["embedding"], end=100.0, now=90.0) == 100.0


def test_the_file_is_whole_after_every_figure(tmp_path):
    file = tmp_path / "figures.json"
    results = Results(file, {"card": "none"})
    results.begin("held", until=5.0)
    results.add("held", {"micro_batch": 4, "reserved_gb": 1.5})
    read = Results.read(file)
    assert read.at_work() == "held"
    assert read.rows["held"]["entries"] == [{"micro_batch": 4, "reserved_gb": 1.5}]
    read.end("held", "")
    assert Results.read(file).at_work() == ""
    assert json.loads(file.read_text())["about"] == {"card": "none"}
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_table_has_a_column_for_each_name_and_nothing_where_nothing_was_measured():
    lines = table([{"what": "a", "pairs_per_second": 1234.5}, {"what": "b", "note": "not measured"}])
    assert lines[0] == "| what | pairs per second | note |"
    assert lines[2:] == ["| a | 1,234 |  |", "| b |  | not measured |"]
    assert table([]) == []


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (OutOfTimeError(), NO_TIME),
        (torch.OutOfMemoryError("tried to allocate"), NO_ROOM),
        (ModuleNotFoundError("no", name="grad_cache"), "not measured: no module grad_cache"),
        (ValueError("odd\nlines"), "failed: ValueError: odd"),
    ],
)
def test_a_row_that_fails_keeps_what_it_had_and_says_why(tmp_path, monkeypatch, error, note):
    def measure(setting, clock):
        yield {"what": "first"}
        raise error

    monkeypatch.setattr("benchmarks.on_card.rows.ROWS", {"odd": Row(measure, 5)})
    results = Results(tmp_path / "figures.json")
    run_row("odd", None, Clock(0.0), results)
    row = Results.read(results.file).rows["odd"]
    assert row["entries"] == [{"what": "first"}]
    assert row["note"] == note
    assert row["ended"]


def test_what_cannot_be_measured_says_why_and_time_that_is_over_ends_the_row():
    assert tried({"what": "a"}, lambda: {"figure": 1.0}) == {"what": "a", "figure": 1.0}

    def fail():
        raise torch.OutOfMemoryError

    assert tried({"what": "a"}, fail) == {"what": "a", "note": NO_ROOM}

    def end():
        raise OutOfTimeError

    with pytest.raises(OutOfTimeError):
        tried({"what": "a"}, end)


def test_an_error_that_nobody_foresaw_is_told_in_full(capsys):
    assert reason(KeyError("there")) == "failed: KeyError: 'there'"
    assert "KeyError" in capsys.readouterr().err


def test_ratios_are_those_of_the_same_turn():
    figures = speeds([2.0, 4.0, 8.0], of_first=[1.0, 1.0, 8.0], pairs=8)
    assert figures == {"pairs_per_second": 2.0, "turns": 3, "times_the_first": 0.5}


class Recorded:
    """Notes when it trains."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def train(self, window):
        self.log.append((self.name, len(window)))


def test_entrants_take_turns_and_one_that_cannot_be_made_says_why():
    log = []

    def missing():
        raise ModuleNotFoundError("no", name="rival")

    makers = {"a": lambda: Recorded("a", log), "b": missing, "c": lambda: Recorded("c", log)}
    entries = race(makers, window(16), micro=1, turns=2, clock=Clock(1e9, lambda: 0.0), device=CPU)
    warm, turns = log[:4], log[4:]
    assert warm == [("a", 4), ("a", 4), ("c", 4), ("c", 4)]
    assert turns == [("a", 16), ("c", 16), ("c", 16), ("a", 16)]
    assert [entry["what"] for entry in entries] == ["a", "b", "c"]
    assert entries[1] == {"what": "b", "note": "not measured: no module rival"}
    assert entries[0]["times_the_first"] == 1.0
    assert entries[2]["turns"] == 2


def test_a_turn_for_which_there_is_no_time_is_not_begun_and_what_is_there_is_told():
    ticking, log = Ticking(), []

    class Slow(Recorded):
        def train(self, window):
            super().train(window)
            ticking.time += 5.0

    makers = {name: lambda name=name: Slow(name, log) for name in "abc"}
    entries = race(makers, window(8), micro=4, turns=9, clock=Clock(45.0, ticking), device=CPU)
    assert [entry["turns"] for entry in entries] == [1, 1, 1]
    assert ticking.time == 45.0
    ticking.time = 18.0
    entries = race(makers, window(8), micro=4, turns=9, clock=Clock(45.0, ticking), device=CPU)
    assert [entry.get("turns") for entry in entries] == [1, 1, None]
    assert entries[2]["note"] == "not measured: no time was left"


def test_an_entrant_that_fails_in_a_turn_leaves_the_others_theirs():
    class Failing(Recorded):
        def train(self, window):
            super().train(window)
            if len(window) == 16:
                raise torch.OutOfMemoryError

    makers = {"a": lambda: Recorded("a", []), "b": lambda: Failing("b", [])}
    entries = race(makers, window(16), micro=1, turns=3, clock=Clock(1e9, lambda: 0.0), device=CPU)
    assert entries[0]["turns"] == 3
    assert entries[1] == {"what": "b", "note": NO_ROOM}


def test_overlapping_spans_count_once():
    assert covered([(0, 2), (1, 3), (5, 6), (5.5, 5.7)]) == 4
    assert covered([]) == 0


class Ended:
    """A process that has done some rows and ended with a status."""

    def __init__(self, status):
        self.returncode = status

    def poll(self):
        return self.returncode

    def wait(self):
        return self.returncode


def test_where_a_process_dies_another_goes_on_with_the_rows_after(tmp_path, monkeypatch):
    file, calls = tmp_path / "figures.json", []

    def start(names, path, end):
        calls.append(list(names))
        results = Results.read(path)
        results.begin(names[0], until=0.0)
        if len(calls) == 1:
            results.add(names[0], {"what": "before the end"})
            return Ended(-11)
        for name in names:
            results.begin(name, until=0.0)
            results.end(name, "")
        return Ended(0)

    monkeypatch.setattr(command, "start", start)
    assert supervise(["held", "rivals", "memory"], file, 0.0) == 0
    assert calls == [["held", "rivals", "memory"], ["rivals", "memory"]]
    rows = Results.read(file).rows
    assert "status -11" in rows["held"]["note"]
    assert rows["held"]["entries"] == [{"what": "before the end"}]
    assert rows["memory"]["note"] == ""


def test_where_no_row_can_be_begun_nothing_is_tried_again(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(command, "start", lambda *call: calls.append(call) or Ended(1))
    assert supervise(["held", "rivals"], tmp_path / "figures.json", 0.0) == 1
    assert len(calls) == 1


def test_a_process_that_hangs_over_a_row_is_ended(tmp_path, monkeypatch):
    file = tmp_path / "figures.json"
    Results(file).begin("held", until=0.0)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    assert command.watched(process, file) < 0
    assert Results.read(file).at_work() == "held"
