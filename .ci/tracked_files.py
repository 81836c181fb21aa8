"""Refuses data, weights, large files and paths of one machine among the files of a commit."""

import re
import subprocess
import sys
from pathlib import Path

FORBIDDEN = {
    *(".dcm", ".dicom", ".ima", ".nii", ".nrrd", ".mha", ".mhd"),
    *(".arrow", ".feather", ".parquet", ".h5", ".hdf5", ".npy", ".npz", ".db", ".sqlite", ".sqlite3"),
    *(".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".bin", ".pkl", ".pickle", ".joblib"),
    *(".gz", ".tar", ".tgz", ".xz", ".zip", ".7z", ".whl"),
}
"""Suffixes of data, of weights and of archives, which may hold either; tests draw the phantoms they need."""
LARGEST = 1_000_000
"""Bytes; the pictures of the documentation are smaller."""
MACHINE_PATH = re.compile(rb"(?<![\w.-])(?:/home/\w|/Users/\w|/work/\w|[A-Za-z]:\\{1,2}Users\\)")
"""A folder of somebody's own: it says who they are, and is nowhere else."""


def fault(path: Path) -> str | None:
    """What forbids a file, in one line that quotes nothing of it; None if nothing does."""
    if path.suffix.lower() in FORBIDDEN:
        return f"{path}: data, weights and archives stay out of the repository ({path.suffix})"
    content = path.read_bytes()
    if len(content) > LARGEST:
        return f"{path}: {len(content)} bytes; at most {LARGEST} are wanted"
    if found := MACHINE_PATH.search(content):
        line = content.count(b"\n", 0, found.start()) + 1
        return f"{path}:{line}: a path of one machine; say it relative to something everybody has"
    return None


def tracked() -> list[str]:
    """Every file git tracks below the current folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name]


if __name__ == "__main__":
    paths = [Path(name) for name in sys.argv[1:] or tracked()]
    faults = [found for path in paths if path.is_file() and (found := fault(path))]
    sys.exit("\n".join(faults) or 0)
