"""What a journal promises of the file that grows beside it."""

import json

import pytest

from medistill.system.journal import Journal

HEAD = {"work": "a table"}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal", tmp_path / "rows")
    journal.begin(HEAD, b"header;")
    journal.append(b"one;", {"rows": 1})
    journal.append(b"two;", {"rows": 2})
    return journal


def test_what_was_appended_is_left_with_the_length_it_had(journal):
    assert journal.left() == [HEAD, {"rows": 1, "end": 11}, {"rows": 2, "end": 15}]


@pytest.mark.parametrize("torn", [b"", b"thr", b"three;"])
@pytest.mark.parametrize("line", [b"", b'{"rows": 3', b'{"rows": 3}'])
def test_what_a_kill_cut_is_taken_off_both_files(journal, torn, line):
    whole = journal.path.read_bytes()
    journal.grown.write_bytes(journal.grown.read_bytes() + torn)
    journal.path.write_bytes(whole + line)
    assert len(journal.left()) == 3
    assert journal.grown.read_bytes() == b"header;one;two;"
    assert journal.path.read_bytes() == whole


def test_an_entry_whose_batch_the_disk_has_lost_leaves_nothing(journal):
    journal.grown.write_bytes(b"header;one;tw")
    assert journal.left() == []


def test_without_one_of_the_files_nothing_is_left(journal):
    journal.grown.unlink()
    assert journal.left() == []


def test_a_batch_of_no_bytes_has_an_entry_too(journal):
    assert journal.append(b"", {"rows": 2}) == {"rows": 2, "end": 15}
    assert json.loads(journal.path.read_text().splitlines()[-1]) == {"rows": 2, "end": 15}


def test_a_beginning_forgets_what_was_there(journal):
    journal.begin({"work": "another"}, b"")
    assert journal.left() == [{"work": "another"}]
    assert journal.grown.read_bytes() == b""
