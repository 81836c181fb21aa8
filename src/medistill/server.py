"""A server started: its model and index, its address, its token, and the URL to open."""

import asyncio
import ipaddress
import os
import secrets
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from medistill.errors import CallError
from medistill.progress import stages
from medistill.reporting import say

TOKEN = "MEDISTILL_TOKEN"
QUICKSTART = Path("quickstart")
MISSING = "serving needs packages that are not installed: pip install 'medistill[serve]'"
_SHORTEST = 16  # characters of a token


class Address(NamedTuple):
    """Where a server is reached."""

    url: str
    """With the token in its fragment, which browsers keep to themselves."""
    token_required: bool


def serve(
    model: str | None,
    index: str | None,
    *,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...] = (),
    ready: Callable[[Address], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are answered first.

    model   None serves the quickstart on phantoms, making it first if it is not there
    port    0 takes a free one
    ready   told once the model is loaded
    """
    try:
        from medistill.serve.app.app import create_app
        from medistill.serve.app.guard import Access, allowed_hosts
        from medistill.serve.app.http import http_server
        from medistill.serve.app.limits import LIMITS
        from medistill.serve.app.loading import load_served
        from medistill.serve.app.served import Served
    except ModuleNotFoundError as error:
        raise CallError(MISSING) from error
    from medistill.serve.index.index import open_index

    if model is None:
        if index is not None:
            raise CallError("--index needs the MODEL whose embeddings it holds")
        model, index = made_quickstart(QUICKSTART)
    opened = open_index(index) if index else None
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
        with stages() as on_progress:
            return load_served(model, opened, LIMITS, on_progress)

    access = Access(allowed_hosts(host, allow_hosts), token)
    server = http_server(create_app(load, access, LIMITS, phantoms=phantoms, loaded=loaded), LIMITS)
    with listening:
        asyncio.run(server.serve(sockets=[listening]))
    if failed:
        raise failed[0]


def made_quickstart(folder: Path) -> tuple[str, str]:
    """Model and index of the quickstart in a folder; what is missing of it is made, in two minutes."""
    from medistill.quickstart import quickstart

    if not (folder / "evaluation" / "page.html").is_file():
        say(f"making the quickstart in {folder.absolute()}: two minutes")
        quickstart(folder)
    run, index = folder / "run", folder / "index"
    if not _is_index_of(index, run):
        _index_anew(run, folder / "corpus", index)
    return str(run), str(index)


def _is_index_of(index: Path, run: Path) -> bool:
    """Whether there is a filled index of that run's model."""
    from medistill.evaluate.fingerprint import model_hash
    from medistill.model.any_model import open_model
    from medistill.serve.index.index import open_index

    if not index.exists():
        return False
    opened = open_index(index)
    try:
        return bool(opened.about.corpora) and opened.about.model_sha256 == model_hash(open_model(run))
    finally:
        opened.close()


def _index_anew(run: Path, corpus: Path, index: Path) -> None:
    from medistill.serve.index.embed import embed
    from medistill.serve.index.filling import fill

    shutil.rmtree(index, ignore_errors=True)  # of a quickstart that was made before this one
    table = index.with_suffix(".arrow")
    table.unlink(missing_ok=True)
    with stages() as on_progress:
        embed(run, corpus, table, on_progress=on_progress)
        fill(index, table, kind=None, delete=(), on_progress=on_progress)
    table.unlink()  # the index holds all of it


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
