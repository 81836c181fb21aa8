"""A file that kills, fills or stalls its process costs itself and no other."""

import os
import time
from dataclasses import replace

import pytest

from medistill.data.prepare import studies
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading
from medistill.data.study import Reject, StudyImage
from medistill.errors import MedistillError
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


def finished_or_dead(draft):
    """The study of a draft, unless one of its files kills the process."""
    if any(file.name == "bad" for file in draft.files):
        os._exit(1)
    images = tuple(StudyImage(image=file.name.encode()) for file in draft.files)
    return (replace(draft.study, images=images),)


def test_a_file_that_kills_its_process_costs_the_study_that_file(study, tmp_path):
    files = tuple(
        ImageFile(row=row, path=tmp_path, name=name)
        for row, name in enumerate(("one", "bad", "two"), start=1)
    )
    drafts = [Draft(study=study(1, views=()), files=files), Draft(study=study(2, views=()), files=files[:1])]
    first, reject, second = studies(Reading(units=drafts, work=finished_or_dead), workers=1)
    assert [image.image for image in first.images] == [b"one", b"two"]
    assert reject == Reject(row=2, reason="the process that read it crashed", path="bad")
    assert second.study_id == "s2"


def die(_unit):
    os._exit(1)


def test_a_process_that_dies_of_no_file_ends_the_preparation_with_one_line():
    with pytest.raises(MedistillError, match="crashed, and no file is to blame"):
        list(studies(Reading(units=range(3), work=die), workers=1))
