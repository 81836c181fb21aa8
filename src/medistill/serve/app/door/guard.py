"""What a request must pass before anything else, and what is logged of it."""

import asyncio
import hmac
import logging
import re
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medistill.serve.app.door.body import Body, too_large
from medistill.serve.app.door.limits import Limits, RateLimit
from medistill.serve.app.door.refusal import RefusedError, send_refusal

log = logging.getLogger(__name__)
UPLOADS = ("/v1/images", "/v1/embed/image")
"""Paths that take a file."""
ASKS = ("/v1/embed/text", "/v1/zero-shot", "/v1/search", "/v1/heatmap")
"""Paths that take JSON."""
FILES = ("application/octet-stream", "image/png", "image/jpeg", "application/dicom")
"""Types of a file, if one is stated; what it is, its bytes tell."""
_KIND = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")
"""A type that an answer may name: nothing else can be written with it."""
FAULT = "the server has a fault; its log says where"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_OPEN = "/v1/about"  # tells the page whether it needs a token
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer: nothing is loaded from, sent to or shown in a page of another host."""


class Access(NamedTuple):
    """Who may ask."""

    hosts: frozenset[str]
    """Names a request may know the server by: without such a list, a web page whose name is made to point
    here could read what it answers (DNS rebinding)."""
    token: str | None
    """None asks for none."""


class Guard:
    """The outermost layer: host, origin, rate, token, length, type; headers, and the access log.

    The log has a line a request: method, template of the route, status, milliseconds. Of an error that
    nobody expected it has the type and the places in the code; a message may quote a patient.
    """

    def __init__(self, app: ASGIApp, access: Access, limits: Limits) -> None:
        self.app, self._access, self._limits = app, access, limits
        rate = limits.requests_per_second
        self._rate = RateLimit(rate, rate * limits.burst_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, is_upload = time.perf_counter(), scope["path"] in UPLOADS
        most = self._limits.upload_bytes if is_upload else self._limits.json_bytes
        body = Body(receive, self._limits, most=most, what="file" if is_upload else "body")
        answer = _Answer(send, scope, body)
        try:
            self._check(scope, most)
            await self.app(scope, body, answer)
        except RefusedError as refusal:
            await send_refusal(refusal, answer)
        except asyncio.CancelledError:  # by the end of the server, when the time of what is under way is over
            body.complete = True  # nothing more of it is waited for
            if not answer.status:
                await send_refusal(RefusedError(503, "the server is stopping", retry_after=5), answer)
        except Exception as error:
            _log_fault(error)
            if not answer.status:
                await send_refusal(RefusedError(500, FAULT), answer)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            route = getattr(scope.get("route"), "path", "-")
            log.info(
                "%s %s %s %.0f ms", method, route, answer.status or "-", 1e3 * (time.perf_counter() - began)
            )

    def _check(self, scope: Scope, most: int) -> None:
        headers = _headers(scope)
        _check_framing(headers, scope["http_version"])
        self._check_host(headers)
        if not scope["path"].startswith("/v1/"):
            return
        _check_origin(headers)
        if wait := self._rate.seconds_to_wait(str((scope.get("client") or ("",))[0])):
            raise RefusedError(429, f"too many requests: wait {wait} s", retry_after=wait)
        if scope["path"] != _OPEN:
            self._check_token(headers)
        if scope["method"] == "POST":
            _check_body(headers, scope["path"], most)

    def _check_host(self, headers: Mapping[str, list[str]]) -> None:
        named = headers.get("host", [])
        if len(named) != 1 or not named[0]:
            raise RefusedError(400, "the request names no host, or two")
        if host_name(named[0]) not in self._access.hosts:
            raise RefusedError(421, "this server is not known by that name; --allow-host adds one")

    def _check_token(self, headers: Mapping[str, list[str]]) -> None:
        if self._access.token is None:
            return
        given = headers.get("authorization", [])
        kind, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        is_right = hmac.compare_digest(token.strip().encode(), self._access.token.encode())
        if kind.lower() != "bearer" or not is_right:
            raise RefusedError(
                401, "the token is missing or wrong; the URL that the server printed carries it"
            )


class _Answer:
    """Stands for `send`: adds headers, notes the status, ends a connection whose body was not read."""

    def __init__(self, send: Send, scope: Scope, body: Body) -> None:
        self._send, self._scope, self._body = send, scope, body
        self.status = 0
        self._closes = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = dict(HEADERS)
            if self._scope["path"].startswith("/v1/"):
                headers["Cache-Control"] = "no-store"
            if _has_body(self._scope) and not self._body.complete:
                headers["Connection"], self._closes = "close", True
            pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            message = {**message, "headers": [*message.get("headers", ()), *pairs]}
        elif self._closes and not message.get("more_body", False):
            # The answer goes out whole before what nobody reads is drained, and the end is sent only then.
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)


def host_name(host: str) -> str:
    """The name or address of a Host header, without its port; empty if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def allowed_hosts(bound: str, more: Iterable[str]) -> frozenset[str]:
    """Names this server answers to: the loopback ones, the address it is bound to, and those given."""
    named = (host_name(f"[{name}]" if ":" in name else name) for name in (bound, *more))
    return frozenset({"127.0.0.1", "localhost", "::1"} | {name for name in named if name})


def _has_body(scope: Scope) -> bool:
    headers = _headers(scope)
    return "transfer-encoding" in headers or headers.get("content-length", ["0"]) != ["0"]


def _headers(scope: Scope) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _check_framing(headers: Mapping[str, list[str]], version: str) -> None:
    """Where a body ends must be said in one way: a proxy before us may follow the other (RFC 9112, 6.3)."""
    if "transfer-encoding" in headers and ("content-length" in headers or version == "1.0"):
        raise RefusedError(400, "the request states two lengths of its body: Transfer-Encoding and another")


def _check_origin(headers: Mapping[str, list[str]]) -> None:
    """Browsers say where a request comes from; other clients say nothing, and carry no one's cookies."""
    site = headers.get("sec-fetch-site", [])
    origin = headers.get("origin", [])
    is_ours = [_netloc(value) for value in origin] in ([], headers["host"])
    if not is_ours or any(value not in ("same-origin", "none") for value in site):
        raise RefusedError(403, "the request comes from a page of another site")


def _netloc(origin: str) -> str | None:
    """Host and port of an origin; None for `null` and whatever else is no URL."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _check_body(headers: Mapping[str, list[str]], path: str, most: int) -> None:
    """Refuse by what the head says, before a byte of the body is read."""
    length = headers.get("content-length", ["0"])[0]
    if not length.isascii() or not length.isdigit():
        raise RefusedError(400, "the length stated is no number")
    if len(length) > 15 or int(length) > most:  # int() of endless digits takes quadratic time
        raise RefusedError(413, too_large("file" if path in UPLOADS else "body", most))
    if headers.get("content-encoding", ["identity"]) != ["identity"]:
        raise RefusedError(415, "a compressed body is not taken")
    kinds = [value.partition(";")[0].strip().lower() for value in headers.get("content-type", [])]
    if path in UPLOADS:
        if any(kind not in FILES for kind in kinds):
            raise RefusedError(415, f"expected a file of type {', '.join(FILES)}; {_found(kinds)}")
    elif path in ASKS and kinds != ["application/json"]:
        raise RefusedError(415, f"expected a body of type application/json; {_found(kinds)}")


def _found(kinds: list[str]) -> str:
    if not kinds:
        return "none was stated"
    return (
        f"found {kinds[0]}"
        if len(kinds) == 1 and _KIND.fullmatch(kinds[0])
        else "found no type that can be read"
    )


def _log_fault(error: BaseException) -> None:
    places: list[Any] = traceback.extract_tb(error.__traceback__)
    lines = [f"  {place.filename}:{place.lineno} in {place.name}" for place in places]
    log.error("unexpected %s\n%s", type(error).__name__, "\n".join(lines))
