"""The import rule: which part may import which, no circles, no families of files by prefix."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "medistill"
FLOORS: Mapping[str, tuple[str, ...]] = {
    "medistill": (
        "errors",
        "html objective",
        "system recipe",
        "data",
        "model",
        "engine",
        "evaluate",
        "pretrain serve",
        "compare",
        "cli",
        "__main__",
    ),
    "medistill.data": (
        "columns ids plain study",
        "split",
        "report",
        "dicom phantom rule_labels studies",
        "deep",
        "image",
        "ahead corpus sources",
        "check folds loader prepare",
    ),
    "medistill.evaluate": (
        "statistics",
        "probes prompts",
        "tasks",
        "comparison evaluation files protocols",
        "pages",
        "run",
    ),
    "medistill.serve": (
        "card reading",
        "embedding export",
        "index label",
        "app wanted",
    ),
}
"""Floors of each folder from the ground up: a room imports what is on a lower floor of its folder."""
FILES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def imported(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        if isinstance(node, ast.ImportFrom) and node.module in FILES:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in FILES else node.module for name in names)


ARROWS = {module: set(imported(path)) - {module} for module, path in FILES.items()}


def room(module: str, folder: str) -> str:
    """The name in `folder` that holds the module; empty for the folder itself and what is outside."""
    return module.removeprefix(f"{folder}.").split(".")[0] if module.startswith(f"{folder}.") else ""


def rooms(folder: str) -> dict[str, set[str]]:
    """Which names of a folder import which others of it."""
    arrows: dict[str, set[str]] = {}
    for module, others in ARROWS.items():
        if mine := room(module, folder):
            arrows.setdefault(mine, set()).update({room(other, folder) for other in others} - {mine, ""})
    return arrows


def circle(arrows: Mapping[str, set[str]]) -> set[str]:
    """What is left once everything that imports nothing of the rest is taken away, again and again."""
    left = dict(arrows)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    return set(left)


def folders() -> list[str]:
    return [module for module, path in FILES.items() if path.name == "__init__.py"]


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_point_only_to_a_lower_floor(folder):
    floor = {name: level for level, names in enumerate(FLOORS[folder]) for name in names.split()}
    arrows = rooms(folder)
    assert arrows.keys() == floor.keys()
    assert [(a, b) for a, others in arrows.items() for b in others if floor[b] >= floor[a]] == []


def test_no_file_is_in_a_circle_of_imports():
    public = ARROWS | {"medistill": set()}  # its names are imported when asked for
    assert circle(public) == set()


@pytest.mark.parametrize("folder", folders())
def test_no_part_of_a_folder_is_in_a_circle_of_imports(folder):
    assert circle(rooms(folder)) == set()


@pytest.mark.parametrize("folder", folders())
def test_no_three_files_of_a_folder_share_a_prefix(folder):
    names = [path.stem for path in FILES[folder].parent.glob("*.py") if path.stem.strip("_") == path.stem]
    families = Counter(name.split("_")[0] for name in names)
    assert [prefix for prefix, count in families.items() if count > 2] == []


def test_the_package_shows_at_most_thirteen_names():
    assert len(rooms("medistill").keys() - {"__main__"}) <= 13


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"a", "b", "c", "d"}
    assert circle({"a": {"b"}, "b": set()}) == set()


def test_no_function_is_longer_than_sixty_lines():
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    for module, path in FILES.items():
        functions = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds))
        assert [(module, f.name) for f in functions if f.end_lineno - f.lineno >= 60] == []
