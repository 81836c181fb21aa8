"""What the tests of Ray let it do; its processes import it, as they could not import a test."""

import os
from dataclasses import replace

from medistill.data.study import Reject, StudyImage


def finished_or_dead(draft):
    """The study of a draft, unless one of its files kills the process."""
    if any(file.name == "bad" for file in draft.files):
        os._exit(1)
    images = tuple(StudyImage(image=file.name.encode()) for file in draft.files)
    return (replace(draft.study, images=images),)


def failed(number):
    """A mistake of ours at 3, a crash at 5."""
    if number == 3:
        raise LookupError("a mistake of ours")
    if number == 5:
        os._exit(1)
    return (Reject(row=number, reason="seen", path=""),)


def seen_twice(number):
    return (Reject(row=number, reason="seen", path=""),) * 2
