"""How much memory there is, and how much was taken."""

import os
import re
import resource
import sys
from pathlib import Path

import torch

from medistill.errors import CallError


def reset_peak(device: torch.device) -> None:
    """Let the card's peak start again from what it holds now; a process's own peak cannot be reset."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Most memory held at once: what torch took of a card since `reset_peak`, else by this process so far.

    Not what tensors took: what replayed graphs use does not show there.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_reserved(device)
    return _line(Path("/proc/self/status"), "VmHWM") or _usage()


def available_bytes(device: torch.device) -> int:
    """What could still be taken: the card's free memory, else the machine's or the container's.

    Where the system does not tell what is available (macOS), all of the machine's memory.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    machine = _line(Path("/proc/meminfo"), "MemAvailable")
    machine = machine or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine, _container())


def _container() -> int:
    """What the control group leaves this process (Linux, version 2); without a limit, more than there is."""
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if not limit.is_file() or limit.read_text().strip() == "max":
        return sys.maxsize
    return max(0, int(limit.read_text()) - int(used.read_text()))


def _line(path: Path, name: str) -> int:
    """A line of /proc in bytes; 0 where there is no such file."""
    if not path.is_file():
        return 0
    lines = (line.split() for line in path.read_text().splitlines())
    return next((int(line[1]) * 1024 for line in lines if line[0] == f"{name}:"), 0)


def _usage() -> int:
    """Peak resident size; Linux counts it in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


_DECIMAL = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS = _DECIMAL | {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
"""Bytes of each unit that `parse_memory` knows."""


def parse_memory(text: str) -> int:
    """Bytes of `11GB`, `11GiB`, `800 MB`; CallError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)\s*", text, re.IGNORECASE)
    if not match or match[2].upper() not in UNITS or not float(match[1]):
        raise CallError(f"--memory is {text!r}; give a number and a unit, such as 11GB, 11GiB or 800MB")
    return round(float(match[1]) * UNITS[match[2].upper()])
