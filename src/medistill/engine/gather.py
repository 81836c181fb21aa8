"""Rows of every rank, with a gradient that finds its way back."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from torch import Tensor, distributed, nn

from medistill.model.dual import Embeddings

T = TypeVar("T")


def ranks() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def gathered(rows: Shaped[Tensor, "b ..."]) -> Shaped[Tensor, "wb ..."]:
    """The rows of all w ranks, rank by rank; itself where there is one process.

    A row's gradient is the *sum* over ranks of what each rank's loss asks of it. DDP averages parameters'
    gradients over ranks, so where each rank's loss is the mean over its own queries the result is the
    gradient of the mean over all of them. A gather that passed back only what the own rank asks would be
    too small by what the others ask, and one that repeated the whole loss on each rank needs a factor w
    on the embeddings' gradient but none on the scale's.
    """
    return _Gathered.apply(rows) if ranks() > 1 else rows  # pyright: ignore[reportReturnType]


def gathered_embeddings(own: Embeddings) -> Embeddings:
    """The embeddings of all ranks; one collective for both modalities, so that no rank can mix them up."""
    if ranks() == 1:
        return own
    image, text = gathered(torch.cat([own.image, own.text], dim=1)).chunk(2, dim=1)
    return own._replace(image=image, text=text)


@torch.no_grad()
def average_gradients(model: nn.Module) -> None:
    """The mean over ranks of every gradient, in place; all ranks have the same ones."""
    if ranks() == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    # Begun one after the other without waiting, so that the small ones do not wait for each other.
    for work in [distributed.all_reduce(gradient, async_op=True) for gradient in gradients]:
        if work:
            work.wait()
    torch._foreach_div_(gradients, float(ranks()))  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        parts = [torch.empty_like(rows) for _ in range(ranks())]
        # In the order of ranks, which is that of `rows_of_all_ranks` too.
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = gradient.contiguous()  # what every rank's loss asks of the rows of all
        distributed.all_reduce(total)
        return total.chunk(ranks())[distributed.get_rank()]


def any_rank(*flags: bool) -> list[bool]:
    """Which of the flags are raised on some rank, the same answer on all."""
    return [any(column) for column in zip(*of_all_ranks(flags), strict=True)]


def from_first_rank(compute: Callable[[], T]) -> T:
    """What rank 0 computes, on every rank; the others wait for it."""
    if ranks() == 1:
        return compute()
    answer: list[Any] = [compute() if distributed.get_rank() == 0 else None]
    distributed.broadcast_object_list(answer)
    return answer[0]


def of_all_ranks(value: T) -> list[T]:
    """Each rank's value, rank by rank."""
    if ranks() == 1:
        return [value]
    values: list[Any] = [None] * ranks()
    distributed.all_gather_object(values, value)
    return values
