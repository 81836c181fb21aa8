"""Uvicorn with bounds on connections and slow heads, stopped in peace by a signal."""

import asyncio
import json
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from medistill.serve.app.door.limits import LIMITS, Limits

_GRACE = 10  # seconds that requests under way have when the server is asked to stop


class BoundedProtocol(H11Protocol):
    """One connection: refused if there are too many, ended if the head of a request trickles in."""

    limits: Limits = LIMITS
    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # it has paths and queries; `access_log=False` of the configuration

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn's `limit_concurrency` waits for a whole head first, and its answer is no JSON.
        if len(self.connections) > self.limits.connections:
            self._end("503 Service Unavailable", "too many connections", "retry-after: 1\r\n")
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # uvicorn has no such bound: a head that trickles in would hold a connection for ever (slowloris).
        if self.conn.their_state is not h11.IDLE:
            self._head_is_there()
        elif self._deadline is None and not self.transport.is_closing():
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(
            self.limits.head_seconds, self._end, "408 Request Timeout", "the request did not arrive in time"
        )

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self, status: str, why: str, header: str = "") -> None:
        body = json.dumps({"error": why})
        self.transport.write(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"connection: close\r\n{header}\r\n{body}".encode()
        )
        self.transport.close()


class HttpServer(uvicorn.Server):
    """SIGTERM and Ctrl-C end it with its work done, and are not raised again afterwards."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are for the main thread alone
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def http_server(app: ASGIApp, limits: Limits) -> HttpServer:
    """The server of an app; its own access log, which has paths and queries, is off."""
    protocol = type("Protocol", (BoundedProtocol,), {"limits": limits})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
    )
    return HttpServer(config)
