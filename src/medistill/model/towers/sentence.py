"""How a model of sentence-transformers makes one row of a text, as its own files say."""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from transformers.utils.hub import cached_file

from medistill.errors import CallError
from medistill.model.tower import Pooling
from medistill.model.towers.source import pretrained_source

_log = logging.getLogger(__name__)
MODULES, CONFIG = "modules.json", "config.json"
_POOLING = "1_Pooling"
"""Where a folder without a list of modules may still say how it is pooled."""
_MODES: Mapping[str, Pooling] = {
    "mean": "mean",
    "mean_tokens": "mean",
    "mean_sqrt_len_tokens": "mean",  # longer by a factor, which the unit norm behind it takes away
    "cls": "cls",
    "cls_token": "cls",
}
"""Its words for our poolings; newer versions write the first of each pair."""
_TAKEN = ("Transformer", "Pooling", "Normalize", "Dense", "Dropout")


class OwnPooling(NamedTuple):
    """What the files of a text tower say; nothing where they are not of sentence-transformers."""

    pooling: Pooling | None = None
    normalized: bool = False
    """Whether its rows are made unit."""
    left_out: tuple[str, ...] = ()
    """Layers behind the pooling: a projection of ours is trained in their place."""


def text_source(name: str) -> tuple[str, bool]:
    """As `pretrained_source`, but of a model in several folders that of its transformer."""
    source, local = pretrained_source(name)
    first = next((m for m in _modules(name, source, local=local) if _kind(m) == "Transformer"), None)
    inner = str(first.get("path") or "") if first else ""
    if not inner:
        return source, local
    if not local:
        raise CallError(
            f"pretrained {name!r} has its transformer in {inner[:80]!r}: fetch it, and give its folder"
        )
    return str(_inside(name, Path(source), inner)), local


def own_pooling(name: str) -> OwnPooling:
    """Pooling and unit norm of a model of sentence-transformers; CallError for one it cannot be held to."""
    source, local = pretrained_source(name)
    modules = _modules(name, source, local=local)
    kinds = [_kind(module) for module in modules]
    if odd := [kind for kind in kinds if kind not in _TAKEN]:
        raise CallError(
            f"pretrained {name!r} has a module {odd[0][:60]!r} in {MODULES}, expected a transformer that is "
            "pooled: name another model, or the folder of its transformer alone"
        )
    paths = [str(m.get("path") or "") for m, kind in zip(modules, kinds, strict=True) if kind == "Pooling"]
    file = f"{paths[0] if paths else _POOLING}/{CONFIG}"
    settings = _read(name, source, file, local=local)
    if settings is None and paths:
        raise CallError(f"pretrained {name!r} lacks {file[:80]}, which {MODULES} names")
    pooling = None if settings is None else _pooling(name, settings)
    behind = tuple(kind for kind in kinds if kind in ("Dense", "Dropout"))
    return OwnPooling(pooling, "Normalize" in kinds, behind)


def say_pooling(name: str, own: OwnPooling) -> None:
    """Note what was taken from a tower's own files, and what was left out."""
    if own.pooling:
        unit = ", rows made unit" if own.normalized else ""
        _log.info(f"{name}: pooled by its own files: {own.pooling}{unit}")
    if own.left_out:
        _log.info(
            f"{name}: left out {', '.join(own.left_out)} behind its pooling; a projection of ours is trained"
        )


def _pooling(name: str, settings: Any) -> Pooling:
    """The one way to pool that a Pooling module's configuration names."""
    if not isinstance(settings, dict):
        raise CallError(f"pretrained {name!r}: the {CONFIG} of its pooling holds no settings")
    named = settings.get("pooling_mode")
    modes = [named] if isinstance(named, str) else list(named or ())
    modes += [
        key.removeprefix("pooling_mode_") for key, on in settings.items() if on is True and "_mode_" in key
    ]
    ours = {_MODES.get(str(mode)) for mode in modes}
    if len(ours) != 1 or None in ours:
        said = ", ".join(str(mode)[:40] for mode in modes) or "nothing"
        raise CallError(
            f"pretrained {name!r} pools by {said}, expected mean or cls alone: name another model, or the "
            "folder of its transformer alone"
        )
    return "cls" if "cls" in ours else "mean"


def _modules(name: str, source: str, *, local: bool) -> list[dict[str, Any]]:
    """The modules in their order; none for a model that is not of sentence-transformers."""
    modules = _read(name, source, MODULES, local=local)
    if modules is None:
        return []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CallError(f"pretrained {name!r}: {MODULES} is damaged: expected a list of modules")
    return modules


def _kind(module: Mapping[str, Any]) -> str:
    """The class of a module, whatever package it lies in from version to version."""
    return str(module.get("type")).rpartition(".")[2]


def _read(name: str, source: str, file: str, *, local: bool) -> Any:
    """What a JSON file beside the model says; None if it is not there."""
    found: str | None = None
    if local:
        path = _inside(name, Path(source), file)
        found = str(path) if path.is_file() else None
    else:
        with suppress(OSError):  # of a name that is not there: said when its configuration is read
            found = cached_file(source, file, _raise_exceptions_for_missing_entries=False)
    if not found:
        return None
    try:
        return json.loads(Path(found).read_text("utf-8"))
    except ValueError as error:
        raise CallError(f"pretrained {name!r}: {file[:80]} is damaged: expected JSON") from error


def _inside(name: str, folder: Path, inner: str) -> Path:
    """A path below the folder; CallError for one that leads out of it."""
    if Path(inner).is_absolute() or ".." in Path(inner).parts:
        raise CallError(f"pretrained {name!r} names {inner[:80]!r} outside its folder in {MODULES}")
    return folder / inner
