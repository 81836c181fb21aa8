"""A file that kills, fills or stalls its process costs itself and no other."""

import os
import time

import pytest

from medistill.system import isolated
from medistill.system.isolated import GaveUp, IsolatedPool


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
    ("unit", "reason"), [("dies", "crashed"), ("stalls", "within 1 seconds"), ("fills", "4 GiB of memory")]
)
def test_a_harmful_file_is_given_up_and_the_others_are_read(pool, monkeypatch, unit, reason):
    monkeypatch.setattr(isolated, "SECONDS", 1.0)
    (_, first), (_, harmful), (_, last) = pool.map(fate, ["a", unit, "b"])
    assert (first, last) == ("A", "B")
    assert isinstance(harmful, GaveUp)
    assert reason in harmful.reason


def test_an_error_of_our_own_is_raised(pool):
    with pytest.raises(AttributeError):
        list(pool.map(fate, [1]))
