"""Adds to and deletes from copies of an index, and is killed on the way."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from medistill.serve.index.folder import nearest
from medistill.serve.index.index import open_index
from medistill.serve.index.table import open_table

GONE = ("s00004", "s00007")
STEPS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "shutil.rmtree")
nearest._LEAST = 10


def kill_before(step: int, folder: Path) -> None:
    """SIGKILL for this process before it changes the folder for that many times, counted from 0."""
    left = step

    def count(is_step: bool) -> None:
        nonlocal left
        if is_step and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= is_step

    def heard(event: str, arguments: tuple) -> None:
        writes = (
            event == "open"
            and str(arguments[0]).startswith(str(folder))
            and arguments[1] in ("w", "wb", "ab")
        )
        count(writes or event in STEPS)

    # Counted, not done: a kill loses nothing that was written, and the disk is what takes the time here.
    os.fsync = lambda handle: count(True)
    sys.addaudithook(heard)


def change(operation: str, folder: Path, table: Path) -> None:
    index = open_index(folder)
    if operation == "add":
        index.add(open_table(table))
    else:
        index.delete(GONE)


def killed_at_each_step(home: Path, operation: str, table: Path) -> list[int]:
    """How the process of each copy of the index ended; the last one was not killed."""
    open_index(home / "start")  # imports what every child would import anew
    ends = []
    while not ends or ends[-1]:
        folder = home / f"index{len(ends)}"
        shutil.copytree(home / "start", folder)
        child = os.fork()
        if not child:
            kill_before(len(ends), folder)
            change(operation, folder, table)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ends


def forever(folder: Path, table: Path) -> None:
    """Adds and deletes a table's studies in turn, and tells of each once it is done."""
    index, opened = open_index(folder), open_table(table)
    while True:
        index.add(opened)
        print("added", flush=True)  # noqa: T201
        index.delete(sorted(opened.study_ids()))
        print("deleted", flush=True)  # noqa: T201


if __name__ == "__main__":
    home, operation, table = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    if operation == "forever":
        forever(home / "start", table)
    print(json.dumps(killed_at_each_step(home, operation, table)))  # noqa: T201
