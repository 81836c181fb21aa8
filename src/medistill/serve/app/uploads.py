"""An uploaded file: to pixels in a process with limits, then in memory for some minutes."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from medistill.data.dicom.file import is_dicom
from medistill.data.dicom.levels import dicom_levels
from medistill.data.image import decode_deep, decode_image, letterbox, resized
from medistill.errors import MedistillError
from medistill.serve.app.door.limits import Limits
from medistill.serve.reading import without_flag
from medistill.system.isolated import GaveUp

DISPLAY = 1024
"""Pixels of the longer side of what is shown."""
_START = 132  # bytes that tell a DICOM file


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file as it came, and what is made of it."""

    data: bytes
    size: int | None
    """Side of the square that the model sees; None for a model that prepares images by itself."""
    max_pixels: int


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """An uploaded image; nothing else of the file is kept."""

    seen: UInt8[np.ndarray, "s t"]
    """What the model sees: 8-bit grey as `medistill prepare` makes it, letterboxed to the model's size."""
    grey: UInt8[np.ndarray, "h w"]
    """The same 8-bit grey at the size of display."""
    levels: np.ndarray
    """(h, w) stored grey levels at the size of display, uint8 or uint16."""
    width: int
    height: int
    dicom: bool
    bits: int
    window: tuple[float, float] | None
    """Center and width in grey levels."""

    @property
    def nbytes(self) -> int:
        return self.seen.nbytes + self.grey.nbytes + self.levels.nbytes


def is_known(data: bytes) -> bool:
    """Whether bytes begin like a PNG, JPEG or DICOM file."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or is_dicom(data[:_START])


def parse(upload: Upload) -> Parsed | GaveUp:
    """The image of the file, or why there is none, in words that quote nothing from it."""
    try:
        return _parsed(upload)
    except MedistillError as error:
        return GaveUp(without_flag(str(error)))
    except MemoryError:
        raise
    except Exception as error:  # a hostile file may find what no test did; its request fails, no other
        return GaveUp(f"broken image: it cannot be read ({type(error).__name__})")


def _parsed(upload: Upload) -> Parsed:
    grey = decode_image(upload.data, max_pixels=upload.max_pixels)
    levels, bits, window = _levels(upload, grey)
    shown = _shown(grey)
    return Parsed(
        seen=shown if upload.size is None else letterbox(grey, upload.size),
        grey=shown,
        levels=shown if levels is grey else _shown(levels),
        width=grey.shape[1],
        height=grey.shape[0],
        dicom=is_dicom(upload.data[:_START]),
        bits=bits,
        window=window,
    )


def _levels(
    upload: Upload, grey: UInt8[np.ndarray, "h w"]
) -> tuple[np.ndarray, int, tuple[float, float] | None]:
    """Grey levels, their bits and the window that the file states."""
    if is_dicom(upload.data[:_START]):
        levels = dicom_levels(upload.data, max_pixels=upload.max_pixels)
        return levels.values, levels.bits, levels.window
    deep = decode_deep(upload.data, max_pixels=upload.max_pixels)
    return (grey, 8, None) if deep is None else (deep, 16, None)


def _shown(image: np.ndarray) -> np.ndarray:
    return resized(image, DISPLAY) if max(image.shape) > DISPLAY else image


class KeptImages:
    """Images by ids that nobody can guess, the least recently used out first."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._images: OrderedDict[str, Parsed] = OrderedDict()
        self._used: dict[str, float] = {}
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def add(self, image: Parsed) -> str:
        """Keep an image; returns its id."""
        name = secrets.token_urlsafe(24)
        self._images[name], self._used[name] = image, self._clock()
        self.nbytes += image.nbytes
        self.expire()
        while len(self) > self._limits.kept or (len(self) > 1 and self.nbytes > self._limits.kept_bytes):
            self._drop(next(iter(self._images)))
        return name

    def get(self, name: str) -> Parsed | None:
        """The image, which is used by that; None if it is unknown or gone."""
        self.expire()
        if name not in self._images:
            return None
        self._images.move_to_end(name)
        self._used[name] = self._clock()
        return self._images[name]

    def expire(self) -> None:
        """Forget what nobody has asked for in a while."""
        oldest = self._clock() - self._limits.kept_seconds
        while self._images and self._used[next(iter(self._images))] < oldest:
            self._drop(next(iter(self._images)))

    def _drop(self, name: str) -> None:
        self.nbytes -= self._images.pop(name).nbytes
        del self._used[name]
