"""What waits for the backward pass: bytes that autograd keeps, each storage once."""

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import torch
from torch import Tensor


class SavedActivations:
    """Bytes of the tensors that autograd keeps for the backward pass, each storage once."""

    def __init__(self, apart_from: Iterable[Tensor]):
        self.now, self.peak = 0, 0
        self._apart = set[int]()
        self._holders: Counter[int] = Counter()
        self.leave_out(apart_from)

    def leave_out(self, tensors: Iterable[Tensor]) -> None:
        """Do not count these from here on: they live anyway, at least as long as the account."""
        self._apart |= {t.untyped_storage().data_ptr() for t in tensors}

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
