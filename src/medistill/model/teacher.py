"""The slow copy of the model: an exponential moving average."""

import copy
import math
from typing import Any, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def make_teacher(student: Module) -> Module:
    """A float32 copy in eval mode without gradients; bf16 weights would not move at momentum .999.

    Weights that get no gradient are the student's own: of a tower with adapters the copy has those alone.
    """
    if _narrow(student):
        return copy.deepcopy(student).float().eval().requires_grad_(False)
    shared: dict[int, Any] = {id(p): p for p in student.parameters() if not p.requires_grad}
    return copy.deepcopy(student, shared).eval().requires_grad_(False)


class Follower:
    """A teacher that follows its student, step by step.

    Which tensors belong together is found once: to walk through two models of some hundred modules takes
    longer than a card needs for the arithmetic.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module):
        self.ahead = student
        pairs = [(t, s) for t, s in zip(_tensors(teacher), _tensors(student), strict=True) if t is not s]
        self._alike = [(t, s) for t, s in pairs if t.is_floating_point() and t.dtype == s.dtype]
        self._narrow = [(t, s) for t, s in pairs if t.is_floating_point() and t.dtype != s.dtype]
        self._counters = [(t, s) for t, s in pairs if not t.is_floating_point()]

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """teacher = momentum * teacher + (1 - momentum) * student; integer buffers are copied."""
        slow = [t for t, _ in (*self._alike, *self._narrow)]
        fast = [s for _, s in self._alike] + [s.to(t.dtype) for t, s in self._narrow]
        torch._foreach_lerp_(slow, fast, 1 - momentum)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        for t, s in self._counters:
            t.copy_(s)


def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """One step of a `Follower`."""
    Follower(teacher, student).follow(momentum)


def momentum_at(progress: float, start: float, end: float) -> float:
    """Momentum at `progress` 0..1 of the run: a half cosine from `start` to `end` (as in BYOL)."""
    return end - (end - start) * (math.cos(math.pi * progress) + 1) / 2


def half_life(momentum: float, pairs_per_step: int) -> float:
    """Pairs after which half of the teacher has been replaced; infinite for one that does not move."""
    if momentum in (0, 1):
        return math.inf if momentum else 0.0
    return math.log(0.5) / math.log(momentum) * pairs_per_step


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _narrow(module: nn.Module) -> bool:
    return any(p.dtype in (torch.bfloat16, torch.float16) for p in module.parameters())
