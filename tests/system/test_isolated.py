"""A file that kills, fills or stalls its process costs itself and no other."""

import functools
import os
import time

import pytest

from medistill.errors import CallError, MedistillError
from medistill.system import isolated
from medistill.system.isolated import GaveUp, IsolatedPool, decoding


def fate(unit):
    """What becomes of a process that reads this."""
    if unit == "dies":
        os._exit(1)
    if unit == "stalls":
        time.sleep(60)
    if unit == "fills":
        bytearray(6 * 2**30)
    return unit.upper()


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
