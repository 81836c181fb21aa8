"""Requests to stop: followed at once, or by training at the end of a window."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)


class TerminatedError(KeyboardInterrupt):
    """SIGTERM has come: what is under way is left as by Ctrl-C, cleaning up behind it."""


@contextmanager
def terminable() -> Generator[None]:
    """SIGTERM raises TerminatedError, once: a second one ends the process as it stands."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def die_of_termination() -> None:
    """End as SIGTERM ends a process, so that whoever sent it sees that."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def stop_requests() -> Generator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT has come; a second SIGINT interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if number == signal.SIGINT and seen:
            raise KeyboardInterrupt
        seen.append(number)
        log.info("finishing the window, then saving; the same command goes on where it was")

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
