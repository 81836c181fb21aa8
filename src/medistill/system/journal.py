"""Files that grow by whole lines, and keep them whatever kills the process."""

import os
from pathlib import Path


def append_durably(path: Path, data: bytes) -> None:
    """Add to the end of a file; on the disk when this returns."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
