"""A file that kills the process that reads it is set aside, and the rest of its study kept."""

import os
from dataclasses import replace

import pytest

from medistill.data.prepare import studies
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading
from medistill.data.study import Reject, StudyImage
from medistill.errors import MedistillError


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
