"""Image files of a user read one by one, each in a process with limits."""

import functools
import re
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medistill.data.image import decode_image, letterbox
from medistill.errors import MedistillError
from medistill.system.files import read_regular
from medistill.system.isolated import GaveUp, IsolatedPool, decoding

_FLAG_OF_PREPARE = re.compile(r" \(--[^)]*\)$")


def without_flag(reason: str) -> str:
    """The reason without the flag of `prepare` at its end, which is of no use elsewhere."""
    return _FLAG_OF_PREPARE.sub("", reason)


def read_images(
    paths: Sequence[Path], *, size: int | None, workers: int
) -> Generator[UInt8[np.ndarray, "h w"] | GaveUp]:
    """8-bit grey of each file, in order; or why it cannot be read, in words that quote nothing from it.

    size      letterbox to a square of this side, so that little is passed between processes
    workers   processes; 0 reads in this one, without limits
    """
    read = functools.partial(read_image, size=size)
    if not workers:
        yield from map(read, paths)
        return
    with IsolatedPool(workers) as pool:
        for _, image in pool.map(read, paths):
            yield image


def read_image(path: Path, *, size: int | None) -> UInt8[np.ndarray, "h w"] | GaveUp:
    """One file, or why not."""
    try:
        data = read_regular(path)
        with decoding():
            grey = decode_image(data)
            return grey if size is None else letterbox(grey, size)
    except MedistillError as error:
        return GaveUp(without_flag(str(error)))
    except OSError:
        return GaveUp("file cannot be read")


Seen = UInt8[np.ndarray, "h w"] | GaveUp
"""An image as 8-bit grey, or why it cannot be read."""
