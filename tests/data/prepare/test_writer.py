"""A corpus is whole or not there, whatever happens while it is written."""

import re
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Reject
from medistill.errors import CallError, MedistillError
from tests.conftest import each_a_unit


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_existing_corpus_is_not_overwritten(write, study):
    path = write([study()]).path
    before = files_of(path)
    with pytest.raises(CallError, match="is there already"):
        write([study(2)])
    assert files_of(path) == before


def test_an_empty_folder_is_filled(write, tmp_path, study):
    (tmp_path / "corpus").mkdir()
    assert len(write([study()]).table) == 1


def test_a_run_that_fails_leaves_nothing(tmp_path, study):
    def failing():
        yield study(1)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_corpus(each_a_unit(failing()), tmp_path / "corpus", source="test", made_with={})
    assert not list(tmp_path.iterdir())


def test_what_a_run_killed_at_the_end_left_does_not_come_into_the_corpus(write, tmp_path, study):
    partial = tmp_path / ".corpus.partial"
    partial.mkdir()
    (partial / ".card.json.partial").write_text("half")
    assert ".card.json.partial" not in files_of(write([study()]).path)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_the_later_of_two_runs_at_once_is_refused(write, tmp_path, study):
    def meanwhile():
        yield study(1)
        with pytest.raises(CallError, match="another run is writing"):
            write_corpus(each_a_unit([study(2)]), tmp_path / "corpus", source="test", made_with={})

    assert write(meanwhile()).table["study_id"].to_pylist() == ["s1"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux names an open file")
def test_every_file_and_both_folders_are_on_disk_before_the_call_returns(tmp_path, study, monkeypatch):
    synced = set[str]()

    def note(descriptor):
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr("os.fsync", note)
    write_corpus(each_a_unit([study()]), tmp_path / "corpus", source="test", made_with={})
    written = {re.sub(r"(\.[0-9a-f]{8})?\.partial$", "", name).removeprefix(".") for name in synced}
    assert ".corpus.partial" in synced
    assert written - {"corpus", "journal.jsonl"} == {
        *(path.name for path in (tmp_path / "corpus").iterdir()),
        tmp_path.name,
    }


def test_a_folder_below_a_file_cannot_be_made(tmp_path, study):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "corpus", tmp_path / "file" / "deeper" / "corpus"):
        with pytest.raises(CallError, match=r"cannot make the folder .*: Not a directory"):
            write_corpus(each_a_unit([study()]), out, source="test", made_with={})


@pytest.mark.parametrize("call", ["exists", "iterdir", "mkdir"])
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path, study, monkeypatch, call):
    def denied(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "corpus").mkdir()
    monkeypatch.setattr(Path, call, denied)
    with pytest.raises(CallError, match=r"cannot make the folder .*: Permission denied"):
        write_corpus(each_a_unit([study()]), tmp_path / "corpus", source="test", made_with={})


@contextmanager
def small_disk():
    """No file grows beyond 10 kB; not even the one the test run itself prints to, so never a fixture."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(tmp_path, study):
    with small_disk(), pytest.raises(MedistillError, match="cannot be written: File too large"):
        write_corpus(each_a_unit(map(study, range(600))), tmp_path / "corpus", source="test", made_with={})
    assert not list(tmp_path.iterdir())


def test_a_disk_too_full_for_the_list_of_rejects_is_one_line(tmp_path):
    rejects = [Reject(row=row, reason="empty text", path=f"{row}.png") for row in range(1000)]
    with small_disk(), pytest.raises(MedistillError, match="cannot be written: File too large"):
        write_corpus(each_a_unit(rejects), tmp_path / "corpus", source="test", made_with={})
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing(tmp_path, study):
    def interrupted():
        yield study(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(each_a_unit(interrupted()), tmp_path / "corpus", source="test", made_with={})
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, study, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MedistillError, match="cannot be written: No space left on device"):
        write_corpus(each_a_unit([study()]), tmp_path / "corpus", source="test", made_with={})
    assert not list(tmp_path.iterdir())
