"""Uploaded images in memory: few, small in all, and not for long."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from medistill.serve.app.door.limits import Limits
from medistill.serve.app.parsing import Parsed


@dataclass
class _Entry:
    image: Parsed
    used: float


class KeptImages:
    """Images by ids that nobody can guess, the least recently used out first."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, image: Parsed) -> str:
        """Keep an image; returns its id."""
        name = secrets.token_urlsafe(24)
        self._entries[name] = _Entry(image, self._clock())
        self.nbytes += image.nbytes
        self.expire()
        while len(self) > self._limits.kept or (len(self) > 1 and self.nbytes > self._limits.kept_bytes):
            self._drop(next(iter(self._entries)))
        return name

    def get(self, name: str) -> Parsed | None:
        """The image, which is used by that; None if it is unknown or gone."""
        self.expire()
        if name not in self._entries:
            return None
        self._entries.move_to_end(name)
        entry = self._entries[name]
        entry.used = self._clock()
        return entry.image

    def expire(self) -> None:
        """Forget what nobody has asked for in a while."""
        oldest = self._clock() - self._limits.kept_seconds
        while self._entries and next(iter(self._entries.values())).used < oldest:
            self._drop(next(iter(self._entries)))

    def _drop(self, name: str) -> None:
        self.nbytes -= self._entries.pop(name).image.nbytes
