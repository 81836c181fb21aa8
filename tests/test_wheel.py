"""What is installed: every file of the package, under one version, with all that it imports."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

import medistill

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_wherever_it_stands():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == medistill.__version__


def declared(*extras: str) -> dict[str, str]:
    """What the package needs, with those extras, by its plain name: the whole requirement."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    needs = [*project["dependencies"], *(need for extra in extras or optional for need in optional[extra])]
    return {plain(re.match(r"[\w.-]+", need)[0]): need for need in needs}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path: Path) -> set[str]:
    """Whose packages a file imports, also inside functions."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plainly = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    roots = {name.partition(".")[0] for name in plainly | froms}
    return roots - sys.stdlib_module_names - {"medistill"}


def test_what_the_package_imports_it_declares():
    distributions, known = packages_distributions(), declared()
    files = (ROOT / "src").rglob("*.py")
    missing = {
        name
        for path in files
        for name in imported(path)
        if name in distributions and not {plain(one) for one in distributions[name]} & known.keys()
    }
    assert missing == set()


@pytest.mark.parametrize(("name", "floor"), [("torch", (2, 10)), ("h11", (0, 16)), ("pyarrow", (24, 0))])
def test_versions_with_known_holes_are_not_admitted(name, floor):
    for needs in (declared("serve"), declared("dev", "serve")):
        least = re.search(r">=\s*([\d.]+)", needs[name])[1]
        assert tuple(map(int, least.split("."))) >= floor


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
