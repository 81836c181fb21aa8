"""Checkpoints a kill cannot corrupt and a stranger cannot booby-trap."""

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from medistill.errors import MedistillError
from medistill.system.atomic import partial_file
from medistill.system.checksums import ChecksumError, checked_file, copy_sums, say_without, verify

log = logging.getLogger(__name__)
NAME, BEFORE = "last.pt", "previous.pt"
"""The newest checkpoint, and the one before it, which is used where the newest is damaged."""


def save_checkpoint(state: dict[str, Any], folder: Path) -> None:
    """Make this the folder's checkpoint once it is whole and on disk; the one that was is kept beside it."""
    try:
        with checked_file(folder / NAME) as file:
            torch.save(state, file)
            _keep(folder)
    except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
        reason = str(error).strip().splitlines()[0]
        raise MedistillError(
            f"cannot write the checkpoint ({reason}); the previous one stands. Free disk space and run again"
        ) from error


def _keep(folder: Path) -> None:
    """The newest checkpoint as the one before it, too: its own name is never without a file."""
    if not (folder / NAME).is_file():
        return
    copy_sums(folder, NAME, BEFORE)
    with partial_file(folder / BEFORE) as (partial, _):
        partial.unlink()
        try:
            os.link(folder / NAME, partial)
        except OSError:  # a file system without links
            (folder / NAME).rename(partial)
        partial.replace(folder / BEFORE)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The folder's checkpoint on the CPU, or None; tensors and plain values only, never a pickle's code."""
    there = [folder / name for name in (NAME, BEFORE) if (folder / name).is_file()]
    for path in there:
        try:
            known = verify(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, ChecksumError) as error:
            if path == there[-1]:
                raise MedistillError(
                    f"the checkpoint {path} is damaged or not one of medistill's; remove it to start the run "
                    "again"
                ) from error
            log.warning("checkpoints/%s is damaged: going on from the one before it", path.name)
            continue
        if not known:
            say_without(path)
        return state
    return None


def random_state() -> dict[str, Any]:
    """The generators that dropout draws from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
