"""The files that hold a checkpoint's weights: safetensors, or pickles of nothing but weights."""

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME
from transformers.utils.hub import cached_file

from medistill.errors import CallError

_KINDS = ((SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME), (WEIGHTS_NAME, WEIGHTS_INDEX_NAME))
"""The name of a single file and that of an index of several; safetensors where there are both kinds."""
_ASKS = re.compile(r"GLOBAL (\S+)")
"""Where torch's restricted unpickler says what a pickle wanted to import."""


class Stored(NamedTuple):
    """The files of a checkpoint."""

    paths: tuple[Path, ...]
    pickled: bool
    """Whether they are `.bin` files, which only the restricted unpickler may read."""


def stored_weights(shown: str, source: str, *, local: bool) -> Stored:
    """The files of a folder's weights, or of a hub name's, which are fetched; CallError if there are none."""
    for single, index in _KINDS:
        pickled = single == WEIGHTS_NAME
        if whole := _found(source, single, local=local):
            return Stored((whole,), pickled)
        if listed := _found(source, index, local=local):
            return Stored(tuple(_part(shown, source, p, local=local) for p in _parts(shown, listed)), pickled)
    raise CallError(
        f"{shown} has no weights: expected {SAFE_WEIGHTS_NAME} or {WEIGHTS_NAME}, or one of them in parts "
        "with its index; save the model again with save_pretrained"
    )


def expect_own_parts(shown: str, folder: Path) -> None:
    """CallError if the index of a folder's weights names files outside it."""
    for _, index in _KINDS:
        if (folder / index).is_file():
            _parts(shown, folder / index)


def read_weights(shown: str, stored: Stored) -> dict[str, Tensor]:
    """All tensors by name; CallError for a pickle that holds or asks for anything else."""
    weights: dict[str, Tensor] = {}
    for path in stored.paths:
        weights |= _unpickled(shown, path) if stored.pickled else load_file(path)
    return weights


def _unpickled(shown: str, path: Path) -> Mapping[str, Tensor]:
    """The tensors of a `.bin` file, of whose pickle nothing but tensors and plain containers is made."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other formats of torch, refused just below
            weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CallError(_refusal(shown, path, str(error))) from error
    except Exception as error:  # of zip archives, of storages, of the file system
        raise CallError(_unreadable(shown, path)) from error
    if not isinstance(weights, Mapping):
        raise CallError(f"{shown}: {path.name} holds a {type(weights).__name__}, expected tensors by name")
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            raise CallError(
                f"{shown}: {path.name} holds {str(name)[:60]!r} of type {type(tensor).__name__}, expected "
                "tensors by name: it is a training checkpoint; save its model with save_pretrained"
            )
    return weights


def _refusal(shown: str, path: Path, reason: str) -> str:
    """In a line, why the restricted unpickler stopped."""
    asked = _ASKS.search(reason)
    with path.open("rb") as file:
        if not asked and file.read(1) != pickle.PROTO:
            return _unreadable(shown, path)
    found = f"asks for {asked[1][:80]} when it is read" if asked else "is a pickle of more than weights"
    return (
        f"{shown}: {path.name} {found}, which could run any code, and is refused; expected weights alone: "
        f"take the model's {SAFE_WEIGHTS_NAME}, or have its maker save the weights again"
    )


def _unreadable(shown: str, path: Path) -> str:
    return (
        f"{shown}: {path.name} is damaged or no file of torch.save (of a repository fetched without git-lfs "
        "it holds a line of text); fetch it again"
    )


def _found(source: str, name: str, *, local: bool) -> Path | None:
    """That file of a folder, or of a hub name once fetched; None if there is none of that name."""
    path = cached_file(source, name, local_files_only=local, _raise_exceptions_for_missing_entries=False)
    return Path(path) if path else None


def _parts(shown: str, index: Path) -> list[str]:
    """The files that an index names; CallError if one lies elsewhere."""
    try:
        parts = sorted({str(part) for part in json.loads(index.read_text("utf-8"))["weight_map"].values()})
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CallError(
            f"{shown}: {index.name} is damaged: expected a weight_map of names to files"
        ) from error
    for part in parts:
        if Path(part).name != part:
            raise CallError(f"{shown} names weights {part[:80]!r} outside its folder")
    return parts


def _part(shown: str, source: str, name: str, *, local: bool) -> Path:
    path = _found(source, name, local=local)
    if path is None:
        raise CallError(f"{shown} lacks {name[:80]}, which its index names; fetch the whole folder again")
    return path
