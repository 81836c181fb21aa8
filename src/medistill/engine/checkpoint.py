"""Checkpoints a kill cannot corrupt and a stranger cannot booby-trap."""

import pickle
from pathlib import Path
from typing import Any

import torch

from medistill.errors import MedistillError
from medistill.system.atomic import atomic_file

NAME = "last.pt"


def save_checkpoint(state: dict[str, Any], folder: Path) -> None:
    """Replace the folder's checkpoint once the new one is whole and on disk."""
    try:
        with atomic_file(folder / NAME) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
        reason = str(error).strip().splitlines()[0]
        raise MedistillError(
            f"cannot write the checkpoint ({reason}); the previous one stands. Free disk space and run again"
        ) from error


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The folder's checkpoint on the CPU, or None; tensors and plain values only, never a pickle's code."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise MedistillError(
            f"the checkpoint {path} is damaged or not one of medistill's; remove it to start the run again"
        ) from error


def random_state() -> dict[str, Any]:
    """The generators that dropout draws from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
