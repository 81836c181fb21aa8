"""The body of a request as it arrives: so many bytes, in so many seconds."""

import asyncio
import time
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

_DRAIN_SECONDS, _DRAIN_BYTES = 0.5, 8 * 2**20


class Body:
    """Stands for `receive`; raises 413 and 408, which FastAPI lets through whoever reads.

    What is refused has not been held in memory: the server reads no faster than this is asked.
    """

    def __init__(self, receive: Receive, *, most: int, seconds: float) -> None:
        self._receive, self._most = receive, most
        self._end = time.monotonic() + seconds
        self._bytes = 0
        self.complete = False

    async def __call__(self) -> Message:
        if self.complete:
            return await self._receive()  # what comes now is that the client has gone
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._end - time.monotonic()))
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time") from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most:
            raise HTTPException(413, too_large(self._most))
        self.complete = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Take a little of what nobody will read: a connection closed upon unread bytes loses the answer."""
        end, left = time.monotonic() + _DRAIN_SECONDS, _DRAIN_BYTES
        with suppress(TimeoutError):
            while not self.complete and left > 0:
                message = await asyncio.wait_for(self._receive(), max(0.0, end - time.monotonic()))
                left -= len(message.get("body", b""))
                self.complete = not message.get("more_body", False)


def too_large(most: int) -> str:
    """Why a body is refused."""
    return f"the body is larger than {most:,} bytes"
