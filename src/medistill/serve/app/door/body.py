"""The body of a request as it arrives: so many bytes, in so many seconds, and no slower than that."""

import asyncio
import time
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from medistill.serve.app.door.limits import Limits

GONE = 499
"""Of a client that left while it sent its body: in the log alone, as nginx has it."""
_STRETCH = 1 / 12
"""Of what is there already, the least that must come in a pause: half of what brings the most in time."""
_DRAIN_SECONDS, _DRAIN_BYTES = 0.5, 8 * 2**20


class Body:
    """Stands for `receive`; raises 413, 408 and 499, which FastAPI lets through whoever reads.

    What is refused has not been held in memory: the server reads no faster than this is asked.
    """

    def __init__(self, receive: Receive, limits: Limits, *, most: int, what: str = "body") -> None:
        self._receive, self._limits, self._most, self._what = receive, limits, most, what
        self._end = time.monotonic() + limits.body_seconds
        self._bytes = 0
        self._wait_for_more()
        self.complete = False

    async def __call__(self) -> Message:
        if self.complete:
            return await self._receive()  # what comes now is that the client has gone
        try:
            left = min(self._end, self._pause_end) - time.monotonic()
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time") from None
        if message["type"] == "http.disconnect":
            self.complete = True
            raise HTTPException(GONE, "the client has gone")
        self._bytes += len(message.get("body", b""))
        if self._bytes >= self._wanted:
            self._wait_for_more()
        if self._bytes > self._most:
            raise HTTPException(413, too_large(self._what, self._most))
        self.complete = not message.get("more_body", False)
        return message

    def _wait_for_more(self) -> None:
        """What must be there at the end of the next pause: who sends much and then stops, holds much."""
        limits = self._limits
        self._pause_end = time.monotonic() + limits.pause_seconds
        floor = limits.pause_seconds * limits.slowest
        self._wanted = self._bytes + max(floor, _STRETCH * self._bytes)

    async def drain(self) -> None:
        """Take a little of what nobody will read: a connection closed upon unread bytes loses the answer."""
        end, left = time.monotonic() + _DRAIN_SECONDS, _DRAIN_BYTES
        with suppress(TimeoutError):
            while not self.complete and left > 0:
                message = await asyncio.wait_for(self._receive(), max(0.0, end - time.monotonic()))
                left -= len(message.get("body", b""))
                self.complete = not message.get("more_body", False)


def too_large(what: str, most: int) -> str:
    """Why a body, or the file it is, is refused."""
    size = f"{most / 2**20:.0f} MiB" if most % 2**20 == 0 else f"{most:,} bytes"
    return f"the {what} is larger than {size}, the most this server takes"
