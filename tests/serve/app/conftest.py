"""Real servers on free loopback ports, in a thread of the test."""

import asyncio
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from medistill.data.image import encode_image
from medistill.serve.app.app import create_app
from medistill.serve.app.door.guard import Access, allowed_hosts
from medistill.serve.app.door.http import http_server
from medistill.serve.app.door.limits import LIMITS
from medistill.serve.app.loading import load_served
from medistill.serve.index.embed import embed
from medistill.serve.index.index import fill, open_index
from tests.serve.conftest import film

TOKEN = "a-token-of-the-tests-0123456789"
SMALL = replace(
    LIMITS,
    upload_bytes=2_000_000,
    json_bytes=60_000,
    body_seconds=30.0,
    head_seconds=30.0,
    pixels=4_000_000,
    requests_per_second=10_000.0,
)


@contextmanager
def serving(load, *, limits=SMALL, token=TOKEN, phantoms=False) -> Generator[SimpleNamespace]:
    """What `load` makes, served; `client` has the token."""
    told = []
    access = Access(allowed_hosts("127.0.0.1", ()), token)
    app = create_app(load, access, limits, phantoms=phantoms, loaded=told.append)
    server = http_server(app, limits)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        while not (server.started and told):
            assert thread.is_alive()
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            yield SimpleNamespace(
                client=client, port=port, app=app.app, service=app.app.state.service, failed=told[0]
            )
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="session")
def index_of_films(german, tmp_path_factory):
    """The films of the trained model's corpus, indexed."""
    folder = tmp_path_factory.mktemp("indexed")
    embed(str(german.run), german.corpus, folder / "table.arrow")
    fill(folder / "index", folder / "table.arrow", kind=None, delete=(), on_progress=lambda *_: None)
    return folder / "index"


@pytest.fixture(scope="session")
def loader(german, index_of_films):
    """Loads the model with the index, as the command does."""

    def make(limits=SMALL):
        return lambda: load_served(german.run, open_index(index_of_films), limits)

    return make


@pytest.fixture(scope="session")
def server(loader):
    with serving(loader()) as running:
        yield running


@pytest.fixture
def client(server) -> httpx.Client:
    return server.client


@pytest.fixture(scope="session")
def png() -> bytes:
    return encode_image(film(1, 0, 5000))


def noise_png(seed: int, side: int = 32) -> bytes:
    return encode_image(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))
