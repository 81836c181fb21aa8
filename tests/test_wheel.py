"""What is installed: every file of the package, under one version."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import medistill

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_wherever_it_stands():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == medistill.__version__


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    git = ["git", "-C", str(ROOT)]
    subprocess.run([*git, "checkout-index", "--all", f"--prefix={tmp_path}/copy/"], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(tmp_path / "copy")], check=True)
    listed = subprocess.run([*git, "ls-files", "src"], check=True, capture_output=True, text=True)
    package = {name.removeprefix("src/") for name in listed.stdout.split()}
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert package - set(archive.namelist()) == set()
    assert {"medistill/__init__.py", "medistill/py.typed"} <= package
