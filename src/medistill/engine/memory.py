"""How much memory training took: the process's or card's peak, and what waits for the backward pass."""

import os
import resource
import sys
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor


def reset_peak(device: torch.device) -> None:
    """Let the card's peak start again from what it holds now; a process's own peak cannot be reset."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Most memory held at once: on a card by tensors since `reset_peak`, else by this process so far."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
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


class SavedActivations:
    """Bytes of the tensors that autograd keeps for the backward pass, each storage once."""

    def __init__(self, apart_from: Iterable[Tensor]):
        self.now, self.peak = 0, 0
        self._apart = {t.untyped_storage().data_ptr() for t in apart_from}
        self._holders: Counter[int] = Counter()

    def hold(self, tensor: Tensor) -> "_Saved":
        """Called by autograd with a tensor it saves."""
        return _Saved(self, tensor)

    def add(self, place: int, size: int) -> None:
        """One more graph node holds the storage at `place`."""
        if place in self._apart:
            return
        if not self._holders[place]:
            self.now += size
            self.peak = max(self.peak, self.now)
        self._holders[place] += 1

    def drop(self, place: int, size: int) -> None:
        """One node less."""
        if place in self._apart:
            return
        self._holders[place] -= 1
        if not self._holders[place]:
            self.now -= size


class _Saved:
    """A saved tensor; it goes when its graph node frees it."""

    def __init__(self, account: SavedActivations, tensor: Tensor):
        storage = tensor.untyped_storage()
        self.account, self.tensor = account, tensor
        self.place, self.size = storage.data_ptr(), storage.nbytes()
        account.add(self.place, self.size)

    def __del__(self) -> None:
        self.account.drop(self.place, self.size)


@contextmanager
def saved_activations(apart_from: Iterable[Tensor] = ()) -> Generator[SavedActivations]:
    """Count what the graphs made within keep; the same on every machine, unlike a process's peak.

    What `checkpoint_activations` recomputes does not count: its block's input is kept for the graph, the rest
    lives for one block at a time while the backward pass is there.

    apart_from  tensors that live anyway: parameters, the window.
    """
    account = SavedActivations(apart_from)
    with torch.autograd.graph.saved_tensors_hooks(account.hold, lambda saved: saved.tensor):
        yield account
