"""Adding and deleting: right, durable, by one writer at a time, seen by readers."""

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medistill.errors import CallError
from medistill.serve.index.filters import Filters
from medistill.serve.index.folder import nearest
from medistill.serve.index.folder.index import FolderIndex
from medistill.serve.index.folder.writing import change
from medistill.serve.index.index import fill, index_for, open_index
from tests.serve.index.brute import assert_equal, brute
from tests.serve.index.conftest import DIM, Made, make_table, unit


@pytest.fixture(params=["exact", "usearch"])
def kind(request, monkeypatch):
    monkeypatch.setattr(nearest, "_LEAST", 10)
    return request.param


@pytest.fixture
def tables(tmp_path) -> list[Made]:
    """The second has studies of its own, the third some of the first's with other vectors and findings."""
    return [
        make_table(tmp_path / "0.arrow", 60),
        make_table(tmp_path / "1.arrow", 40, seed=1, first=100, corpus="d" * 64),
        make_table(tmp_path / "2.arrow", 20, seed=2, first=25, corpus="e" * 64, findings=("edema", "mass")),
    ]


def together(*made: Made, without: set[str] = frozenset()) -> Made:
    """What an index holds after these were added in turn and those studies deleted."""
    vectors, rows = [], []
    for place, one in enumerate(made):
        later = {row["study_id"] for other in made[place + 1 :] for row in other.rows}
        for vector, row in zip(one.vectors, one.rows, strict=True):
            if row["study_id"] not in later | without:
                vectors.append(vector)
                rows.append(row)
    return Made(table=made[0].table, vectors=np.stack(vectors), rows=rows)


def assert_holds(index, expected: Made) -> None:
    """Everything is found, as a loop finds it."""
    assert len(index) == len(expected.rows)
    for seed in range(3):
        query = unit(np.random.default_rng(seed).standard_normal(DIM))
        for filters in (Filters(), Filters(views=("PA",)), Filters(labels=("edema",))):
            for k in (3, 1000):
                hits = index.search(query, k, filters=filters, per_patient=False)
                assert_equal(hits, brute(expected, query, k, filters, per_patient=False))
                assert all(index.case(hit.case.id) == hit.case for hit in hits)


def assert_whole(index, expected: Made) -> None:
    """Every study is there, by its best image and with the vector it had."""
    query = expected.vectors[3]
    assert_equal(
        index.search(query, 1000, per_patient=False), brute(expected, query, 1000, per_patient=False)
    )
    assert len(index) == len(expected.rows)


def test_tables_add_up_and_studies_can_be_deleted(tables, kind, tmp_path):
    index = index_for(tmp_path / "index", tables[0].table.about, kind)
    for count, made in enumerate(tables, start=1):
        assert index.add(made.table) == len(made.rows)
        assert_holds(index, together(*tables[:count]))
    assert index.about.findings == ("effusion", "edema", "mass")
    assert index.values.findings == ("effusion", "edema", "mass")
    gone = {"s00003", "s00100", "s00026", "never there"}
    assert index.delete(sorted(gone)) == 6
    assert_holds(index, together(*tables, without=gone))
    assert_holds(open_index(tmp_path / "index"), together(*tables, without=gone))
    assert index.delete(["never there"]) == 0


def test_adding_the_same_table_again_changes_nothing(tables, kind, tmp_path):
    index = index_for(tmp_path / "index", tables[0].table.about, kind)
    for _ in range(3):
        index.add(tables[0].table)
        assert_holds(index, tables[0])
    assert len(list((tmp_path / "index").glob("part-*"))) == 1


def test_an_index_that_was_emptied_can_be_filled_again(tables, kind, tmp_path):
    index = index_for(tmp_path / "index", tables[0].table.about, kind)
    index.add(tables[0].table)
    assert index.delete([row["study_id"] for row in tables[0].rows]) == 60
    assert (len(index), index.search(tables[0].vectors[0], 3)) == (0, [])
    index.add(tables[1].table)
    assert_holds(index, tables[1])


def test_a_deleted_study_is_in_no_file(tables, kind, tmp_path):
    index = index_for(tmp_path / "index", tables[0].table.about, kind)
    index.add(tables[0].table)
    case = index.search(tables[0].vectors[8], 1)[0].case
    index.delete([case.study_id])
    files = [path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file()]
    assert not any(case.study_id.encode() in held or case.text.encode() in held for held in files)
    assert any(b"s00005" in held for held in files)


def test_many_small_additions_leave_few_parts(kind, tmp_path):
    made = [
        make_table(tmp_path / f"{i}.arrow", 10, seed=i, first=5 * i, corpus=f"{i:064d}") for i in range(20)
    ]
    index = index_for(tmp_path / "index", made[0].table.about, kind)
    for one in made:
        index.add(one.table)
        assert len(list((tmp_path / "index").glob("part-*"))) <= 4
    assert_holds(index, together(*made))


def test_vectors_of_another_model_are_refused(tables, kind, tmp_path):
    index = index_for(tmp_path / "index", tables[0].table.about, kind)
    index.add(tables[0].table)
    other = make_table(tmp_path / "other.arrow", model_sha256="b" * 64)
    with pytest.raises(
        CallError, match=r"is of another model \(sha256 bbbbbbbbbbbb..., the index has aaaaaaaa"
    ):
        index.add(other.table)
    other.table.about = replace(tables[0].table.about, preprocessing={"size": 64})
    with pytest.raises(CallError, match="is of the index's model with other preprocessing"):
        index.add(other.table)
    assert_holds(index, tables[0])


def test_two_writers_at_once_are_refused(tables, kind, tmp_path):
    index = index_for(tmp_path / "index", tables[0].table.about, kind)
    index.add(tables[0].table)
    with change(tmp_path / "index"):
        for write in (lambda: index.add(tables[1].table), lambda: index.delete(["s00001"])):
            with pytest.raises(CallError, match="another run is writing"):
                write()
        assert_holds(index, tables[0])
    index.add(tables[1].table)
    assert_holds(index, together(*tables[:2]))


def test_readers_follow_what_another_writes(tables, kind, tmp_path):
    writer = index_for(tmp_path / "index", tables[0].table.about, kind)
    writer.add(tables[0].table)
    reader = open_index(tmp_path / "index")
    states = [{row["study_id"] for row in tables[0].rows}]
    states.append(states[0] | {row["study_id"] for row in tables[1].rows})
    ended, seen, wrong = threading.Event(), set(), []

    def read() -> None:
        query = tables[0].vectors[0]
        while not ended.is_set():
            found = {hit.case.study_id for hit in reader.search(query, 1000, per_patient=False)}
            seen.add(len(found))
            if found not in states:
                wrong.append(len(found))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        writer.add(tables[1].table)
        writer.delete([row["study_id"] for row in tables[1].rows])
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert seen <= {30, 50}


@pytest.mark.parametrize("operation", ["add", "delete"])
@pytest.mark.slow
def test_whatever_moment_it_is_killed_at_the_index_is_old_or_new(tables, operation, tmp_path, monkeypatch):
    monkeypatch.setattr(nearest, "_LEAST", 10)
    index_for(tmp_path / "start", tables[0].table.about, "usearch").add(tables[0].table)
    old = tables[0]
    new = together(*tables[::2]) if operation == "add" else together(old, without={"s00004", "s00007"})
    ends = killed_at_each_moment(operation, tmp_path, tables[2].table.path)
    assert ends[-1] == 0
    assert set(ends[:-1]) == {-signal.SIGKILL}
    reached = []
    for moment in range(len(ends)):
        index = open_index(tmp_path / f"index{moment}")
        assert isinstance(index, FolderIndex)
        reached.append(len(index) == len(new.rows))
        state = new if reached[-1] else old
        assert_whole(index, state)
        index.add(tables[1].table)  # what the kill left is in nobody's way
        assert_whole(index, together(state, tables[1]))
        left = {path.name for path in index.folder.iterdir()}
        assert left == {"index.json", "checksums.json", *(part.folder.name for part in index.snapshot.parts)}
    assert reached == sorted(reached)  # once new, for good
    assert (reached[0], reached[-1]) == (False, True)


def killed_at_each_moment(operation: str, home: Path, table: Path) -> list[int]:
    """How copies of `start` ended whose change was killed before its first, second ... step."""
    script = Path(__file__).with_name("kill_process.py")
    call = [sys.executable, script, home, operation, table]
    return json.loads(subprocess.run(list(map(str, call)), capture_output=True, check=True, text=True).stdout)


@pytest.mark.slow
def test_what_was_acknowledged_outlives_kills_at_any_time(tables, tmp_path):
    index = index_for(tmp_path / "start", tables[0].table.about)
    index.add(tables[0].table)
    script = Path(__file__).with_name("kill_process.py")
    call = [sys.executable, script, tmp_path, "forever", tables[1].table.path]
    random = np.random.default_rng(0)
    for _ in range(6):
        with subprocess.Popen(list(map(str, call)), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(random.integers(1, 6))]
            threading.Event().wait(random.uniform(0, 0.05))
            process.kill()
            said += process.stdout.read().splitlines()
        done = [line.strip() for line in said]
        assert set(done) == {"added", "deleted"} or done == ["added"]
        # The step after the last one that was told of may have been taken as well.
        assert len(index) in (60, 100)
        assert_whole(index, together(*tables[: 1 + (len(index) == 100)]))


def test_a_table_of_no_images_is_a_table(tmp_path):
    """It makes the index of its model, as any other does."""
    make_table(tmp_path / "none.arrow", 0)
    record = fill(
        tmp_path / "index", tmp_path / "none.arrow", kind=None, delete=(), on_progress=lambda *_: None
    )
    assert (record["images"], record["added"]) == (0, 0)
    made = make_table(tmp_path / "table.arrow")
    record = fill(
        tmp_path / "index", tmp_path / "table.arrow", kind=None, delete=(), on_progress=lambda *_: None
    )
    assert (record["images"], record["added"]) == (60, 60)
    assert_whole(open_index(tmp_path / "index"), made)
