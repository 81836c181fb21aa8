"""A server started: its model and index, its address, its token, and the URL to open."""

import asyncio
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from medistill.errors import CallError
from medistill.system.progress import Progress

TOKEN = "MEDISTILL_TOKEN"
MISSING = "serving needs packages that are not installed: pip install 'medistill[serve]'"
_SHORTEST = 16  # characters of a token


class Address(NamedTuple):
    """Where a server is reached."""

    url: str
    """With the token in its fragment, which browsers keep to themselves."""
    token_required: bool


def serve(
    model: str,
    index: str | None,
    *,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...] = (),
    device: str = "auto",
    ready: Callable[[Address], None],
    on_progress: Progress | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are answered first.

    port          0 takes a free one
    ready         told once the model is loaded
    on_progress   told of the loading, which goes on while the server already answers
    """
    require_packages()
    from medistill.serve.app.app import create_app
    from medistill.serve.app.door.guard import Access, allowed_hosts
    from medistill.serve.app.door.http import http_server
    from medistill.serve.app.door.limits import LIMITS
    from medistill.serve.app.loading import load_served
    from medistill.serve.app.served import Served
    from medistill.serve.index.index import open_index

    opened = open_index(index) if index is not None else None
    phantoms = opened is not None and opened.about.phantoms
    token = token_for(host, phantoms=phantoms)
    listening = _bound(host, port)
    url = _url(host, listening.getsockname()[1], token)
    failed: list[BaseException] = []

    def loaded(error: BaseException | None) -> None:
        if error is None:
            ready(Address(url, token is not None))
        else:
            failed.append(error)
            server.should_exit = True

    def load() -> Served:
        return load_served(model, opened, LIMITS, on_progress, device=device)

    access = Access(allowed_hosts(host, allow_hosts), token)
    server = http_server(create_app(load, access, LIMITS, phantoms=phantoms, loaded=loaded), LIMITS)
    with listening:
        asyncio.run(server.serve(sockets=[listening]))
    if failed:
        raise failed[0]


def require_packages() -> None:
    """CallError naming the extra to install if the server's libraries are not there."""
    try:
        for name in ("fastapi", "uvicorn"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise CallError(MISSING) from error


def token_for(host: str, *, phantoms: bool) -> str | None:
    """The token of MEDISTILL_TOKEN, or a random one; None, without one set, for phantoms on loopback.

    It is taken out of the environment, so that no process started from here inherits it.
    """
    given = os.environ.pop(TOKEN, "")
    if given and (len(given) < _SHORTEST or not given.isascii() or not given.isprintable() or " " in given):
        raise CallError(f"{TOKEN} must have {_SHORTEST} or more printable ASCII characters and no blanks")
    if given:
        return given
    return None if phantoms and is_loopback(host) else secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    """A socket at that address; CallError if there can be none."""
    if not 0 <= port <= 65535:
        raise CallError(f"--port is {port}, expected 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        why = error.strerror or str(error)
        raise CallError(f"cannot listen at {host} port {port}: {why}; name another") from error
    return listening


def _url(host: str, port: int, token: str | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"#token={token}" if token else "")
