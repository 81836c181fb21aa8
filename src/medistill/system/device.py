"""Where a model runs: on a card if there is one, or where it is sent."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager

import torch

from medistill.errors import CallError


def chosen_device(name: str) -> torch.device:
    """`auto` (the first card, else the CPU), `cpu`, `cuda` or `cuda:N`; CallError if it is not there."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if cards else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise CallError(f"the device is {name!r}; expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= cards:
        there = f"the cards here are cuda:0 to cuda:{cards - 1}" if cards else "no CUDA card was found"
        raise CallError(f"the device is {name}, but {there}; use --device auto or cpu")
    return device


@contextmanager
def the_only_device(name: str) -> Generator[None]:
    """Processes started meanwhile see that device alone; `auto` leaves them what this one sees.

    This process goes on as before: it must not look for a card meanwhile. CallError as `chosen_device`.
    """
    device, variable = chosen_device(name), "CUDA_VISIBLE_DEVICES"
    before = os.environ.get(variable)
    if name != "auto":
        seen = before.split(",") if before else [str(number) for number in range((device.index or 0) + 1)]
        os.environ[variable] = seen[device.index or 0] if device.type == "cuda" else ""
    try:
        yield
    finally:
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before
