"""The time a row may take."""

import time
from collections.abc import Callable
from dataclasses import dataclass


class OutOfTimeError(Exception):
    """What comes next would not end in time."""


@dataclass(frozen=True)
class Clock:
    """Ends at `until`, in seconds of `now`."""

    until: float
    now: Callable[[], float] = time.time

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - self.now()

    def expect(self, seconds: float) -> None:
        """OutOfTimeError if what takes so long would end too late."""
        if self.left < seconds:
            raise OutOfTimeError
