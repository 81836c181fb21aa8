"""A file that kills, fills or stalls its process costs itself and no other."""

import functools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import active_children

import pytest

from medistill.errors import CallError, MedistillError
from medistill.system import isolated
from medistill.system.isolated import GaveUp, IsolatedPool, NoProcessError, decoding, outcome


def fate(unit):
    """What becomes of a process that reads this."""
    if unit == "dies":
        os._exit(1)
    if unit == "stalls":
        time.sleep(60)
    if unit == "fills":
        bytearray(6 * 2**30)
    if unit == "ends early":
        raise EOFError("in the file, not in the pipe")
    if unit == "loses its pipe":
        raise BrokenPipeError("another")
    return os.getpid() if unit == "who" else unit.upper()


@pytest.fixture(scope="module")
def pool():
    with IsolatedPool(1) as pool:
        yield pool


def test_results_come_in_order(pool):
    units = [str(number) for number in range(50)]
    assert list(pool.map(fate, units)) == [(unit, unit) for unit in units]


@pytest.mark.parametrize(
    ("unit", "reason"), [("dies", "crashed"), ("stalls", "within 1 seconds"), ("fills", "of 4 GiB at most")]
)
def test_a_harmful_file_is_given_up_and_the_others_are_read(pool, monkeypatch, unit, reason):
    monkeypatch.setattr(isolated, "SECONDS", 1.0)
    (_, first), (_, harmful), (_, last) = pool.map(fate, ["a", unit, "b"])
    assert (first, last) == ("A", "B")
    assert isinstance(harmful, GaveUp)
    assert reason in harmful.reason


class UnsendableError(Exception):
    """One that the parent cannot make anew."""

    def __init__(self, first, second):
        super().__init__(f"{first} says Jane Doe {second}")


class PanicError(BaseException):
    """As libraries in Rust raise it."""


RAISED = {
    "type": TypeError,
    "panic": PanicError,
    "exit": SystemExit,
    "deep": RecursionError,
    "unsendable": functools.partial(UnsendableError, "it"),
}


def raises(unit):
    if unit == "ours":
        raise CallError("install the extra")
    if unit in RAISED:
        raise RAISED[unit]("Jane Doe")
    return unit


@pytest.mark.parametrize("unit", RAISED)
def test_whatever_a_decoder_raises_costs_its_unit_alone(pool, unit):
    (_, first), (_, failed), (_, last) = pool.map(raises, ["a", unit, "b"])
    assert (first, last) == ("a", "b")
    assert isinstance(failed, GaveUp)
    assert "its decoder failed with" in failed.reason
    assert "Jane" not in failed.reason


def test_an_error_meant_for_users_is_raised(pool):
    with pytest.raises(CallError, match="install the extra"):
        list(pool.map(raises, ["ours"]))


@pytest.mark.parametrize("error", [TypeError, OSError, PanicError])
def test_in_one_process_too_an_unforeseen_error_is_one_line(error):
    expected = f"^cannot be read: its decoder failed with {error.__name__}$"
    with pytest.raises(MedistillError, match=expected), decoding():
        raise error("Jane Doe")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_a_request_to_stop_is_no_fault_of_a_file(error):
    with pytest.raises(error), decoding():
        raise error


@pytest.mark.parametrize("unit", ["ends early", "loses its pipe"])
def test_an_error_of_the_work_is_no_crash(pool, unit):
    """Though it is of the kind that the end of the pipe raises."""
    before = pool.begin(fate, "who").result()
    assert "its decoder failed with" in pool.begin(fate, unit).result().reason
    assert pool.begin(fate, "who").result() == before


def test_what_cannot_be_passed_on_is_an_error_and_nothing_more(pool):
    before = pool.begin(fate, "who").result()
    for work, unit in ((fate, lambda: None), (lambda unit: unit, "a")):
        with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
            pool.begin(work, unit).result()
    assert pool.begin(fate, "who").result() == before


def parsers() -> list[int]:
    return [child.pid for child in active_children()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_processes_that_are_killed_while_idle_are_replaced(number):
    with IsolatedPool(2) as pool:
        for _ in range(3):
            assert [result for _, result in pool.map(fate, ["a", "b", "c"])] == ["A", "B", "C"]
            for pid in parsers():
                os.kill(pid, number)
    assert not parsers()


def test_one_of_two_that_is_killed_costs_no_file():
    with IsolatedPool(2) as pool:
        list(pool.map(fate, "abcd"))
        os.kill(parsers()[0], signal.SIGKILL)
        assert [result for _, result in pool.map(fate, "abcd")] == list("ABCD")


def test_a_process_that_is_killed_at_work_costs_its_file_alone():
    with IsolatedPool(1) as pool:
        pid = pool.begin(fate, "who").result()
        working = pool.begin(fate, "stalls")
        while not working.running():
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        assert outcome(working) == GaveUp("the process that read it crashed")
        assert pool.begin(fate, "a").result() == "A"


def test_a_process_that_does_not_wake_up_is_replaced(monkeypatch):
    with IsolatedPool(1) as pool:
        pid = pool.begin(fate, "who").result()
        monkeypatch.setattr(isolated, "_START_SECONDS", 1.0)
        os.kill(pid, signal.SIGSTOP)
        waiting = pool.begin(fate, "x" * 2**24)  # more than a pipe holds
        wait_for_end(pid)
        monkeypatch.undo()
        assert len(waiting.result()) == 2**24


def test_where_no_process_can_be_started_it_is_said_and_tried_again(monkeypatch):
    with IsolatedPool(1) as pool:
        pool.check()
        os.kill(parsers()[0], signal.SIGKILL)

        def refuse(self):
            raise OSError(12, "Cannot allocate memory")

        monkeypatch.setattr(isolated._SPAWN.Process, "start", refuse)
        for attempt in (pool.check, lambda: pool.begin(fate, "a").result()):
            with pytest.raises(NoProcessError, match="no process can be started"):
                attempt()
        monkeypatch.undo()
        pool.check()
        assert pool.begin(fate, "a").result() == "A"


def test_processes_that_end_as_they_start_are_no_fault_of_a_file(monkeypatch):
    monkeypatch.setattr(isolated, "_work_for", os._exit)
    with IsolatedPool(1) as pool, pytest.raises(NoProcessError, match="end as soon as they start"):
        outcome(pool.begin(fate, "a"))


def test_a_signal_to_stop_everything_leaves_files_to_the_parent():
    """A supervisor sends SIGTERM to all processes of a service at once."""
    with IsolatedPool(1) as pool:
        pid = pool.begin(fate, "who").result()
        os.kill(pid, signal.SIGTERM)
        assert pool.begin(fate, "who").result() == pid


def test_processes_end_with_a_parent_that_is_killed_and_with_one_that_forgets_them(tmp_path):
    script = """
        import os, signal, sys
        from medistill.system.isolated import IsolatedPool
        if __name__ == "__main__":
            pool = IsolatedPool(1)
            print(pool.begin(os.path.abspath, ".").result(), flush=True)
            from multiprocessing import active_children
            print(active_children()[0].pid, flush=True)
            if sys.argv[1] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
    """
    (tmp_path / "forgets.py").write_text(textwrap.dedent(script))
    for end in ("killed", "forgets"):
        ended = subprocess.run(
            [sys.executable, str(tmp_path / "forgets.py"), end], capture_output=True, text=True, timeout=60
        )
        pid = int(ended.stdout.split()[-1])
        wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise TimeoutError("it goes on")
