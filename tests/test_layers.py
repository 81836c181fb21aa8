"""Imports point only upward in the list of layers."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "medistill"
LAYERS = ("errors", "atomic", "recipe", "data", "model", "objective", "engine", "evaluate", "serve")
JOINING = len(LAYERS)
"""Everything else joins the layers: pretrain, quickstart, progress, cli, __main__."""
FILES = sorted(SOURCE.rglob("*.py"))


def layer(module: str) -> int:
    """Place of `medistill.x.y` in the list; the package itself is below all of them."""
    parts = module.split(".")
    if len(parts) < 2:
        return -1
    return LAYERS.index(parts[1]) if parts[1] in LAYERS else JOINING


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def module_of(path: Path) -> str:
    return ".".join(["medistill", *path.relative_to(SOURCE).with_suffix("").parts])


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_only_upward(path):
    if path == SOURCE / "__init__.py":
        return  # the public names, imported when asked for
    mine = layer(module_of(path))
    later = [name for name in imported(path) if name.startswith("medistill") and layer(name) > mine]
    assert later == []


def test_the_layers_are_told_apart():
    assert layer("medistill.data.image") < layer("medistill.model.dual") < layer("medistill.cli")
    assert layer("medistill") < layer("medistill.errors")
