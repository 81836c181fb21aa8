"""Every example runs as it stands, from another folder, on what it makes on the spot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "phantom_run")
PRINTS = {
    "case_search": "images in the index",
    "export_and_use": "AUROC of 8 bits less that of float",
    "few_shot_labels": "new films labeled as they are",
    "own_loop": "step in a loop of one's own",
    "train_and_evaluate": "zero_shot auroc_macro",
}
pytestmark = pytest.mark.slow


def test_there_is_an_example_a_task():
    assert [path.stem for path in EXAMPLES] == list(PRINTS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TMPDIR": str(tmp_path)}
    call = [sys.executable, "-W", "error::DeprecationWarning:__main__", str(path)]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert PRINTS[path.stem] in done.stdout
    assert path.read_text().count("\n# %% ") >= 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_documentation_names_it(path):
    assert f"examples/{path.name}" in (ROOT / "docs" / "library.md").read_text()
