"""A file that grows by batches, and a journal of what it holds for certain."""

import json
import os
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from medistill.system.files import naming


class Journal:
    """Lines of JSON beside a growing file, so that a run that was killed goes on after its last whole batch.

    The first line says what the work is. Every other one was written once its batch was on the disk, with
    the length of the grown file then as `end`: bytes behind the last `end` are of a batch that a kill cut.
    """

    def __init__(self, path: Path, grown: Path) -> None:
        self.path, self.grown = path, grown

    def begin(self, head: Mapping[str, Any], content: bytes) -> None:
        """Start anew: the grown file holds `content` and no batch."""
        for path, first in ((self.grown, content), (self.path, (json.dumps(head) + "\n").encode())):
            path.unlink(missing_ok=True)
            with path.open("xb") as file:
                file.write(first)

    def left(self) -> list[dict[str, Any]]:
        """The head and the entries of a run that was stopped; empty if nothing of use is left of one.

        Both files are cut back to the last batch that is whole.
        """
        if not (self.path.is_file() and self.grown.is_file()):
            return []
        if self.path.is_symlink() or self.grown.is_symlink():
            return []  # not of a run of ours: what they lead to is not to be cut
        lines = whole_lines(self.path)
        entries = [json.loads(line) for line in lines]
        end = entries[-1]["end"] if len(entries) > 1 else None
        if end is not None and self.grown.stat().st_size < end:
            return []  # the disk has lost what the journal had promised
        os.truncate(self.path, sum(map(len, lines)))
        if end is not None:
            os.truncate(self.grown, end)
        return entries

    def append(self, batch: bytes, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Add a batch and, once it is on the disk, the entry for it, which is returned with its `end`."""
        if batch:
            append_durably(self.grown, batch)
        complete = {**entry, "end": self.grown.stat().st_size}
        append_durably(self.path, (json.dumps(complete) + "\n").encode())
        return complete


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file of JSON objects up to one that a kill left unfinished."""
    lines = path.read_bytes().splitlines(keepends=True)
    return list(takewhile(lambda line: line.startswith(b"{") and line.endswith(b"}\n"), lines))


def _no_link(path: str, flags: int) -> int:
    """Never into a file that a link leads to: the names of what goes on after a stop are known before."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def append_durably(path: Path, data: bytes) -> None:
    """Add to the end of a file; on the disk when this returns."""
    with naming(path), open(path, "ab", opener=_no_link) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
