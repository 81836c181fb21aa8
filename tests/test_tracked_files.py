"""What may not be committed is refused, and what is tracked today may be."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "tracked_files.py"


def refused(*paths: Path, cwd: Path = ROOT) -> list[str]:
    """The faults told of these files, or of all tracked ones below `cwd`."""
    done = subprocess.run([sys.executable, SCRIPT, *paths], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == bool(done.stderr)
    return done.stderr.splitlines()


@pytest.fixture
def write(tmp_path):
    def written(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return written


@pytest.mark.parametrize("name", ["film.dcm", "model.SAFETENSORS", "last.ckpt", "rows.arrow", "graph.onnx"])
def test_data_and_weights_are_refused(write, name):
    (told,) = refused(write(name, b"any"))
    assert name in told


def test_a_large_file_is_refused(write):
    (told,) = refused(write("film.png", bytes(1_000_001)), write("icon.png", bytes(1_000_000)))
    assert "film.png: 1000001 bytes" in told


@pytest.mark.parametrize("parts", ["/ home/ ada/ data", "/ Users/ ada", "/ work/ ada", "C:\\ Users\\ ada"])
def test_a_path_of_a_machine_is_refused_by_its_line_and_not_quoted(write, parts):
    path = parts.replace(" ", "")  # written with gaps, or this file would be refused itself
    (told,) = refused(write("notes.md", f"first\nsee {path} there\n".encode()))
    assert "notes.md:2: " in told
    assert "ada" not in told


@pytest.mark.parametrize("text", [b"src/home/page", b"homework/1", b"artwork/x", b"~/keys", b"/models/bert"])
def test_other_paths_are_left_alone(write, text):
    assert refused(write("notes.md", text)) == []


def test_nothing_tracked_is_refused():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    assert refused() == []
