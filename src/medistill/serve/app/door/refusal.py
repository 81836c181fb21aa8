"""A request that is refused, and how that is told."""

import json

from starlette.types import Send


class RefusedError(Exception):
    """One line for a person; it quotes nothing of the request."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after

    @property
    def headers(self) -> dict[str, str]:
        wait = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return wait | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def busy(what: str) -> RefusedError:
    """503: the queue is full; soon it will not be."""
    return RefusedError(503, f"the server is busy: {what}; try again", retry_after=1)


async def send_refusal(refusal: RefusedError, send: Send) -> None:
    """The whole answer, for where there is no request object yet."""
    body = json.dumps({"error": refusal.message}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))} | refusal.headers
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
