"""Files and folders for their owner alone, or for the owner's group too."""

import os
from collections.abc import Generator
from contextlib import contextmanager

_OTHERS, _GROUP_AND_OTHERS = 0o007, 0o077
_FOR_GROUP = 0o027  # to read, not to write


@contextmanager
def private_files() -> Generator[None]:
    """What is made meanwhile, by any library, is for its owner alone: files 600, folders 700.

    For the group too, as the umask has it, where that shuts out all others already: somebody has set it so.
    """
    before = os.umask(_GROUP_AND_OTHERS)
    try:
        if before & _OTHERS == _OTHERS:
            os.umask(before)
        yield
    finally:
        os.umask(before)


@contextmanager
def files_for(*, group: bool) -> Generator[None]:
    """What is made meanwhile is for its owner alone, or for the group to read: 640 and 750."""
    before = os.umask(_FOR_GROUP if group else _GROUP_AND_OTHERS)
    try:
        yield
    finally:
        os.umask(before)
