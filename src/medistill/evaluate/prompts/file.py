"""Prompts from a file: ours in JSON, or another project's Python constants."""

import ast
import codecs
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import Prompts, checked, combined

_MOST = 100_000
"""Combinations a class; what has more is not words of prompts. GLoRIA's largest class has 210."""


def read_prompts(path: Path) -> Prompts:
    """Prompts by finding: of a JSON file, or of a Python file such as `constants.py` of GLoRIA or MedCLIP.

    CallError if it holds none. A negative side may be missing: classes need none. A Python file is parsed and
    never run: a dictionary written out in it that gives each class a list of prompts, or lists of words to
    combine (`severity`, `subtype`, `location`), is taken; such prompts have no negative side.
    """
    try:
        if path.suffix == ".py":
            return _of_python(path, path.read_text("utf-8-sig"))
        return _of_json(path.read_bytes())
    except (RecursionError, MemoryError):
        raise CallError(f"cannot read prompts from {path}: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise CallError(f"cannot read prompts from {path}: {error}") from error


def _of_json(data: bytes) -> Prompts:
    """Of bytes, since editors also write UTF-16, and a mark before UTF-8: `json` tells them apart."""
    given = checked(json.loads(data.removeprefix(codecs.BOM_UTF8)), sides=("positive",))
    checked({finding: sides for finding, sides in given.items() if sides.get("negative", []) != []})
    if not given:
        raise ValueError("it names no finding")
    return {finding: {"negative": [], **sides} for finding, sides in given.items()}


def _of_python(path: Path, text: str) -> Prompts:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise CallError(f"cannot read prompts from {path}: not Python, line {error.lineno}") from None
    prompts: dict[str, dict[str, list[str]]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            for finding, texts in _classes(_literal(node.value)).items():
                prompts.setdefault(finding.lower(), {"positive": texts, "negative": []})
    if not prompts:
        raise CallError(f"no dictionary of prompts in {path}: expected class -> list of prompts, or of words")
    return prompts


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None  # computed, not written out: nothing to take


def _classes(value: Any) -> dict[str, list[str]]:
    """Class -> prompts, if that is what the value is; else nothing."""
    if not isinstance(value, Mapping) or not value:
        return {}
    classes = {name: _prompts(part) for name, part in value.items()}
    sound = all(isinstance(name, str) and texts for name, texts in classes.items())
    return {name: texts for name, texts in classes.items() if texts} if sound else {}


def _prompts(part: Any) -> list[str] | None:
    if isinstance(part, Mapping):
        lists = list(part.values())
        if not lists or not all(map(_are_texts, lists)) or math.prod(map(len, lists)) > _MOST:
            return None
        return [text for text in combined(lists) if text] or None
    return list(part) if _are_texts(part) and all(map(str.strip, part)) else None


def _are_texts(part: Any) -> bool:
    is_list = isinstance(part, Sequence) and not isinstance(part, str)
    return is_list and len(part) > 0 and all(isinstance(text, str) for text in part)
