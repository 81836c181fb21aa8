"""Files and folders that are whole or absent, also where two processes write the same."""

import fcntl
import json
import subprocess
import sys

import pytest

from medistill.errors import CallError
from medistill.system.atomic import atomic_file, atomic_folder, write_atomically, write_together
from medistill.system.locks import writing

WRITER = """
import json, sys
from pathlib import Path
from medistill.system.atomic import write_atomically
for number in range(300):
    write_atomically(Path(sys.argv[1]), json.dumps([sys.argv[2]] * 500))
"""


def test_two_processes_that_write_one_file_at_once_leave_one_of_both(tmp_path):
    path = tmp_path / "page.json"
    running = [subprocess.Popen([sys.executable, "-c", WRITER, path, name]) for name in "ab"]
    read = set[str]()
    while any(process.poll() is None for process in running):
        if path.exists():
            read.update(json.loads(path.read_text()))
    assert [process.returncode for process in running] == [0, 0]
    assert read <= {"a", "b"}
    assert [path.name for path in tmp_path.iterdir()] == ["page.json"]


@pytest.mark.parametrize("name", [".R.md.partial", ".R.md.00000000.partial"])
def test_a_link_planted_under_a_temporary_name_is_not_written_through(tmp_path, name):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / name).symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "R.md", "card")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "R.md").is_symlink()
    assert (tmp_path / "R.md").read_text() == "card"


def test_a_link_planted_under_the_very_name_that_is_taken_is_passed_over(tmp_path, monkeypatch):
    names = iter(["0" * 8, "1" * 8])
    monkeypatch.setattr("secrets.token_hex", lambda count: next(names))
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".R.md.00000000.partial").symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "R.md", "card")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "R.md").read_text() == "card"


def test_what_a_kill_left_is_removed_and_what_another_process_holds_is_not(tmp_path):
    left, held = (tmp_path / f".page.html.{number * 8}.partial" for number in "01")
    left.write_text("half")
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(tmp_path / "page.html", "whole")
        assert {path.name for path in tmp_path.iterdir()} == {"page.html", held.name}


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "a", "old")
    with pytest.raises(KeyError), atomic_file(tmp_path / "a") as file:
        file.write(b"new")
        raise KeyError
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_files_written_together_are_all_replaced_or_none(tmp_path):
    write_together(tmp_path, {"metrics.json": "1", "page.html": "one"})
    (tmp_path / "page.html").unlink()
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError):
        write_together(tmp_path, {"metrics.json": "2", "page.html": "two"})
    assert (tmp_path / "metrics.json").read_text() == "1"
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "page.html"}


@pytest.mark.parametrize("step", range(3))
def test_a_stop_between_files_written_together_leaves_no_old_page(tmp_path, monkeypatch, step):
    write_together(tmp_path, {"metrics.json": "1", "evaluation.json": "1", "page.html": "1"})
    steps = iter(range(9))
    replace = type(tmp_path).replace

    def stopped(self, target):
        if next(steps) == step:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, {"metrics.json": "2", "evaluation.json": "2", "page.html": "2"})
    assert not (tmp_path / "page.html").exists()


def test_a_folder_that_another_process_is_writing_is_refused(tmp_path):
    with (
        atomic_folder(tmp_path / "out"),
        pytest.raises(CallError, match="another run is writing"),
        atomic_folder(tmp_path / "out"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_slower_of_two_folders_is_one_line(tmp_path):
    with pytest.raises(CallError, match="is there already"), atomic_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("mine")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_text("the other's")
    assert (tmp_path / "out" / "a").read_text() == "the other's"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_written_by_one_at_a_time_and_not_left_empty(tmp_path):
    with (
        writing(tmp_path / "out"),
        pytest.raises(CallError, match="another run is writing"),
        writing(tmp_path / "out"),
    ):
        pass
    assert not (tmp_path / "out").exists()
