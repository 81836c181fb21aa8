"""Images decoded ahead are those of a pass without it, whatever becomes of the processes that do it."""

import os
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from medistill.data import ahead as module
from medistill.data.ahead import Ahead, Helpers
from medistill.data.corpus import Rows, open_corpus
from medistill.data.image import encode_image, letterbox
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Study, StudyImage
from medistill.errors import MedistillError
from tests.conftest import each_a_unit
from tests.pictures import NO_PALETTE

IMAGES, UNREADABLE, SIDE = 150, 70, 16


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Pictures of many shapes, one of which nobody can read."""
    out, random = tmp_path_factory.mktemp("ahead") / "corpus", np.random.default_rng(0)
    films = [
        encode_image(random.integers(0, 256, random.integers(8, 40, 2), dtype=np.uint8))
        for _ in range(IMAGES)
    ]
    films[UNREADABLE] = NO_PALETTE
    studies = [
        Study(
            study_id=f"s{i}", patient_id=f"p{i}", images=(StudyImage(image=film),), text="clear", split="test"
        )
        for i, film in enumerate(films)
    ]
    write_corpus(each_a_unit(studies), out, source="test", made_with={}, findings=())
    return Rows(open_corpus(out), np.arange(IMAGES))


@pytest.fixture(scope="module")
def readable():
    return [row for row in range(IMAGES) if row != UNREADABLE]


def ready(count=2):
    """Processes that have started."""
    helpers, end = Helpers(count), time.monotonic() + 60
    while helpers.ready < count and time.monotonic() < end:
        time.sleep(0.01)
    assert helpers.ready == count
    return helpers


@pytest.fixture(scope="module")
def helpers():
    with_them = ready()
    yield with_them
    with_them.close()


@pytest.fixture
def eager(monkeypatch):
    """Processes are started at once, whether that pays or not."""
    monkeypatch.setattr(module, "_TRIED", -1.0)
    monkeypatch.setattr(module, "_PAYS", -1.0)
    monkeypatch.setattr(module, "cores", lambda: 2)


class Counting:
    """Rows that count what is decoded here."""

    def __init__(self, rows):
        self.rows, self.corpus, self.here = rows, rows.corpus, 0
        self.stored = rows.stored

    def image(self, row):
        self.here += 1
        return self.rows.image(row)

    decoded = image


def helped(rows, helpers, size=SIDE):
    """A pass that these processes help with from the start."""
    ahead = Ahead(rows, size=size, most=IMAGES)
    ahead._helpers = helpers
    return ahead


@pytest.mark.parametrize("size", [SIDE, None])
@pytest.mark.parametrize("seed", [0, 1])
def test_images_are_those_of_the_rows_in_any_order(rows, readable, helpers, size, seed):
    order = np.random.default_rng(seed).permutation(readable)
    counting = Counting(rows)
    ahead = helped(counting, helpers, size)
    ahead.expect(order)
    for row in order:
        expected = rows.image(int(row))
        np.testing.assert_array_equal(
            ahead.image(int(row)), expected if size is None else letterbox(expected, size)
        )
    assert size is None or counting.here == 0  # of large ones fewer are handed out, and the rest made here


def test_what_was_not_expected_is_decoded_here(rows, readable, helpers):
    ahead = helped(counting := Counting(rows), helpers)
    ahead.expect(readable[:40])
    for row in (100, 3, 3, 0, 101):
        np.testing.assert_array_equal(
            letterbox(ahead.image(row), SIDE), letterbox(rows.image(row), SIDE), strict=True
        )
    assert counting.here >= 3  # 100, the second 3, 101


def test_what_is_expected_no_more_does_not_keep_others_waiting(rows, readable, helpers):
    ahead = helped(counting := Counting(rows), helpers)
    for _ in range(20):
        ahead.expect(readable[:60])
    ahead.expect(readable[60:])
    assert [ahead.image(row).shape for row in readable[60:]] == [(SIDE, SIDE)] * len(readable[60:])
    assert counting.here == 0


def test_an_image_that_cannot_be_read_says_the_same(rows, helpers):
    ahead = helped(rows, helpers)
    ahead.expect(range(IMAGES))
    for method in ("image", "decoded"):
        with pytest.raises(MedistillError) as without:
            getattr(rows, method)(UNREADABLE)
        with pytest.raises(MedistillError) as there:
            getattr(ahead, method)(UNREADABLE)
        assert str(there.value) == str(without.value)
    assert ahead.image(UNREADABLE + 1).shape == (SIDE, SIDE)


@pytest.mark.parametrize("killed", [1, 2])
def test_whoever_kills_the_processes_loses_no_image(rows, readable, killed):
    helpers = ready()
    try:
        ahead = helped(counting := Counting(rows), helpers)
        for process in helpers._processes[:killed]:
            process.kill()
        ahead.expect(readable)
        for row in readable:
            np.testing.assert_array_equal(
                letterbox(ahead.image(row), SIDE), letterbox(rows.image(row), SIDE), strict=True
            )
        assert counting.here > 0
        assert helpers.ready <= 2 - killed
    finally:
        helpers.close()


class Starved:
    """Processes that are there and get no core."""

    ready = 2

    def __init__(self):
        self.asked = []

    def begin(self, stored, rows, size):
        self.asked.append(Future())
        return self.asked[-1]


def test_a_machine_with_no_core_to_spare_waits_for_no_process(rows, readable):
    ahead = helped(rows, starved := Starved())
    ahead.image(0)  # now the pace is known
    ahead.expect(readable[1:])
    start = time.monotonic()
    for row in readable[1:]:
        np.testing.assert_array_equal(letterbox(ahead.image(row), SIDE), letterbox(rows.image(row), SIDE))
    assert all(coming.cancelled() for coming in starved.asked)
    assert time.monotonic() - start < 10


def test_while_one_is_waited_for_others_are_decoded_here(rows, readable, monkeypatch):
    monkeypatch.setattr(module, "_AHEAD", 1)
    counting, starved = Counting(rows), Starved()

    def decoded(row):
        if counting.here == 20:  # the first process is done
            starved.asked[0].set_result({row: letterbox(rows.image(row), SIDE) for row in range(32)})
        return Counting.image(counting, row)

    counting.decoded = decoded
    ahead = helped(counting, starved)
    ahead.expect(readable)
    assert ahead.image(0).shape == (SIDE, SIDE)
    assert counting.here == 21
    assert list(ahead._own) == [row for row in readable if 64 <= row < 86]
    assert {image.shape for image in ahead._own.values()} == {(SIDE, SIDE)}


def test_what_is_expected_no_more_is_let_go(rows, readable):
    ahead = helped(rows, Starved())
    ahead.expect(readable[:60])
    ahead.expect(readable[60:])
    assert set(ahead._coming) <= set(readable[60:])


@pytest.mark.parametrize(
    "command", [("no-such-command",), (sys.executable, "-c", "print('ready')"), ("true",)]
)
def test_without_processes_every_image_is_there(rows, readable, eager, monkeypatch, command):
    monkeypatch.setattr(module, "_COMMAND", command)
    with Ahead(rows, size=SIDE, most=IMAGES) as ahead:
        ahead.expect(readable)
        for row in readable:
            np.testing.assert_array_equal(ahead.image(row), rows.image(row))


def test_a_small_pass_starts_no_process(rows, readable, monkeypatch):
    monkeypatch.setattr(module, "Helpers", lambda count: pytest.fail("a process was started"))
    monkeypatch.setattr(module, "_TRIED", -1.0)
    with Ahead(rows, size=SIDE, most=IMAGES) as ahead:
        ahead.expect(readable)
        for row in readable:
            ahead.image(row)


def test_a_long_pass_starts_them_and_ends_them(rows, readable, eager):
    with Ahead(rows, size=SIDE, most=IMAGES) as ahead:
        ahead.expect(readable)
        ahead.image(0)
        ahead.image(1)
        helpers = ahead._helpers
        assert len(helpers._processes) == 2
        groups = {os.getpgid(process.pid) for process in helpers._processes}
        assert os.getpgrp() not in groups  # Ctrl-C is not for them
    assert all(process.poll() is not None for process in helpers._processes)


def test_a_process_needs_little_of_what_is_installed():
    heavy = "{'torch', 'pyarrow', 'transformers', 'scipy', 'pydicom', 'rich'}"
    lines = f"import sys, medistill.data.ahead; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


SCRIPT = """
import os, signal, sys, time
print("once", flush=True)
from medistill.data.ahead import Helpers
helpers = Helpers(2)
while helpers.ready < 2:
    time.sleep(0.01)
print(*(process.pid for process in helpers._processes), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_script_runs_once_and_its_processes_end_with_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)  # without `if __name__ == "__main__":`
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    once, pids = done.stdout.splitlines()
    assert once == "once"
    end = time.monotonic() + 30
    while any(alive(int(pid)) for pid in pids.split()):
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
