"""Parts of the server that can be lost and come back: refused while they are, and said once."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from medistill.errors import MedistillError
from medistill.serve.app.door.refusal import RefusedError

log = logging.getLogger(__name__)
_RETRY = 5  # seconds


class Part:
    """What the server cannot be without: the log has a line when it is lost, and one when it is back."""

    def __init__(self, name: str) -> None:
        self._name, self._is_lost = name, False

    @contextmanager
    def used(self) -> Generator[None]:
        """RefusedError 503 for what goes wrong with it; what else is refused says nothing about it."""
        try:
            yield
        except (MedistillError, OSError) as error:
            if not self._is_lost:
                log.warning("%s: %s", self._name, _line(error))
            self._is_lost = True
            raise RefusedError(
                503, f"{self._name} cannot be reached; try again", retry_after=_RETRY
            ) from None
        if self._is_lost:
            log.info("%s: there again", self._name)
        self._is_lost = False


def _line(error: MedistillError | OSError) -> str:
    """An OSError names a path."""
    return str(error) if isinstance(error, MedistillError) else error.strerror or type(error).__name__
