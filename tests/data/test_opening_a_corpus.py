"""What is said when a corpus cannot be opened, and that it is one line."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from medistill.data.corpus import CARD, TABLE, open_corpus
from medistill.errors import CallError
from tests.conftest import forget_checksums


@pytest.fixture
def path(write, study) -> Path:
    """A corpus of some batches."""
    studies = [study(number, split="train", labels={"mass": 1}) for number in range(600)]
    corpus = write(studies, findings=["mass"]).path
    forget_checksums(corpus)
    return corpus


def complaint(path: Path) -> str:
    with pytest.raises(CallError) as error:
        open_corpus(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_corpus_of_another_version_is_refused(write, study):
    path = write([study()]).path
    forget_checksums(path)
    (path / "card.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(CallError, match=r"format 2, this medistill reads format 1"):
        open_corpus(path)


@pytest.mark.parametrize("card", ["[1]", "{}", "not json", "\x00"])
def test_a_folder_with_another_card_is_refused(tmp_path, card):
    (tmp_path / "card.json").write_text(card)
    with pytest.raises(CallError):
        open_corpus(tmp_path)


def test_a_folder_that_is_not_there_or_not_a_corpus_is_refused(tmp_path):
    with pytest.raises(CallError, match="no such folder"):
        open_corpus(tmp_path / "none")
    with pytest.raises(CallError, match="not a corpus"):
        open_corpus(tmp_path)


def test_a_corpus_without_its_table_is_refused(write, study):
    path = write([study()]).path
    (path / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(CallError, match="incomplete"):
        open_corpus(path)


@pytest.mark.parametrize("missing", ["findings", "splits", "sha256", "images"])
def test_a_card_without_a_part_is_damaged(path, missing):
    card = json.loads((path / CARD).read_text())
    del card[missing]
    (path / CARD).write_text(json.dumps(card))
    assert f"is damaged ({CARD} has no usable `{missing}`): prepare it again" in complaint(path)


@pytest.mark.parametrize("part", [{"findings": 3}, {"findings": [1]}, {"splits": None}, {"sha256": 1}])
def test_a_card_with_a_part_of_another_kind_is_damaged(path, part):
    (path / CARD).write_text(json.dumps(json.loads((path / CARD).read_text()) | part))
    assert f"is damaged ({CARD} has no usable `{next(iter(part))}`)" in complaint(path)


@pytest.mark.parametrize("card", ["[1]", "3", "null", '"card"'])
def test_a_card_that_is_no_object_is_damaged(path, card):
    (path / CARD).write_text(card)
    assert f"is damaged ({CARD} is not a JSON object): prepare it again" in complaint(path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_table_that_was_cut_is_damaged(path, kept):
    data = (path / TABLE).read_bytes()
    (path / TABLE).write_bytes(data[: int(len(data) * kept)])
    assert "is damaged (" in (said := complaint(path))
    assert said.endswith(": prepare it again")


def test_a_table_that_was_cut_between_two_batches_is_damaged(path):
    with pa.ipc.open_stream(pa.memory_map(str(path / TABLE))) as stream:
        schema, first = stream.schema, stream.read_next_batch()
    with pa.ipc.new_stream(str(path / "new"), schema) as stream:
        stream.write_batch(first)
    (path / "new").rename(path / TABLE)
    assert f"is damaged ({TABLE} has 256 rows, {CARD} says 600)" in complaint(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"garbage" * 100, b"\xff" * 10_000], ids=len)
def test_a_table_of_garbage_is_damaged(path, content):
    (path / TABLE).write_bytes(content)
    assert f"is damaged ({TABLE} " in complaint(path)


def test_a_table_of_other_columns_is_damaged(path):
    table = pa.table({"text": ["Clear."] * 600})
    with pa.ipc.new_stream(str(path / TABLE), table.schema) as stream:
        stream.write_table(table)
    assert f"is damaged ({TABLE} lacks the column `study_id`)" in complaint(path)


def test_a_table_of_other_findings_is_damaged(path):
    card = json.loads((path / CARD).read_text()) | {"findings": ["mass", "edema"]}
    (path / CARD).write_text(json.dumps(card))
    assert f"is damaged ({TABLE} and {CARD} name different findings)" in complaint(path)
