"""Adds a table to an index in PostgreSQL again and again, killed at each wait for the server in turn."""

import json
import os
import signal
import sys
from pathlib import Path

from psycopg import Connection

from medistill.errors import CallError
from medistill.serve.index.index import open_index
from medistill.serve.index.table import open_table
from tests.serve.index.postgres_server import wait_until


def kill_before(wait: int) -> None:
    """SIGKILL for this process when it would wait for the server for that many times, counted from 0."""
    left, original = wait, Connection.wait

    def counted(self, *arguments, **options):
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return original(self, *arguments, **options)

    Connection.wait = counted  # pyright: ignore[reportAttributeAccessIssue]


def images_once_free(address: str) -> int:
    """How many there are when the server has undone what the killed process had begun."""
    index = open_index(address)

    def is_free() -> bool:
        try:
            index.delete([])
        except CallError:
            return False
        return True

    wait_until(is_free)
    images = len(index)
    index.close()
    return images


def killed_at_each_wait(address: str, table: Path) -> list[tuple[int, int]]:
    """How each process ended, and the images in the index then; the last one was not killed."""
    ends: list[tuple[int, int]] = []
    while not ends or ends[-1][0]:
        child = os.fork()
        if not child:
            index = open_index(address)
            kill_before(len(ends))
            index.add(open_table(table))
            os._exit(0)
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ends.append((end, images_once_free(address)))
    return ends


if __name__ == "__main__":
    print(json.dumps(killed_at_each_wait(sys.argv[1], Path(sys.argv[2]))))  # noqa: T201
