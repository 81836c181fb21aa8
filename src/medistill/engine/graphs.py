"""A tower's pass as CUDA graphs: launched by Python once, replayed from then on."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

WARM_UPS = 3
"""Runs before a capture, in which libraries make their handles and workspaces."""


@runtime_checkable
class Capture(Protocol):
    """Turns a function of tensors that stay in their places into something that does the same again."""

    def warm(self, function: Callable[[], None]) -> None:
        """Run it as often as it takes until it can be captured."""
        ...

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """What does it again, without Python's work in it."""
        ...


class CudaCapture:
    """Captures into one memory pool, on a stream of its own.

    Graphs of a pool take each other's memory. So a forward's graph may only be replayed if its backward's is
    before any other of the pool; what outlives the next replay has to be copied.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.index = int(device.index or 0)
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def warm(self, function: Callable[[], None]) -> None:
        """On the stream that will capture: workspaces belong to a stream."""
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UPS):
                function()
        torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """The graph's replay. Dropout in it draws from the default generator, as it stands at each replay."""
        graph = torch.cuda.CUDAGraph()
        # `torch.cuda.graph` alone leaves its stream the current one where the end of a capture fails. Threads
        # that pin memory meanwhile must not end it: "thread_local".
        begun = torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local")
        try:
            with torch.cuda.stream(self.stream), begun:
                function()
        except BaseException:
            self._clean_up()
            raise
        return graph.replay

    def _clean_up(self) -> None:
        """What torch leaves in the middle of a capture where its end failed.

        Dropout would fail from there on, and the allocator would free nothing any more.
        """
        generator = torch.cuda.default_generators[self.index]
        with suppress(RuntimeError, AttributeError):
            generator.graphsafe_set_state(generator.clone_state())
        with suppress(RuntimeError, AttributeError):  # raised where the capture did end
            torch._C._cuda_endAllocateToPool(self.index, self.pool)  # pyright: ignore


class CapturedPass:
    """A tower's pass of one shape: forward, and backward into gradients that stay in their places.

    run        embeds `inputs`
    inputs     what every replay copies its inputs to
    rows       a tensor like what `run` gives
    gradients  where each weight's gradient is added up; none for a tower that learns nothing
    """

    def __init__(
        self,
        run: Callable[..., Tensor],
        inputs: Sequence[Tensor],
        rows: Tensor,
        gradients: Mapping[nn.Parameter, Tensor],
    ):
        self._run, self._inputs = run, [x.clone() for x in inputs]
        self._rows, self._cotangent = rows.detach(), torch.zeros_like(rows.detach())
        self._weights, self._gradients = list(gradients), list(gradients.values())

    def warm(self, capture: Capture) -> None:
        """Before any pass is captured: the memory this takes is then free for what they all share."""
        capture.warm(self._both)

    def capture(self, capture: Capture) -> None:
        """Forward and, where there is something to learn, backward; two graphs, for the loss lies between."""
        self._replay_forward = capture.capture(self._forward)
        if self._weights:
            self._replay_backward = capture.capture(self._backward)
            # Else autograd's nodes of the weights stay those of this stream, also for a pass without graphs.
            self._rows = self._rows.detach()

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """A copy of the rows it makes of them."""
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given)
        self._replay_forward()
        return self._rows.detach().clone()

    def backward(self, gradient: Tensor) -> None:
        """Of the last forward's rows, added to the weights' gradients."""
        self._cotangent.copy_(gradient)
        self._replay_backward()

    def _forward(self) -> None:
        with torch.set_grad_enabled(bool(self._weights)):
            self._rows = self._run(*self._inputs)

    def _backward(self) -> None:
        # Not by way of `.grad`: a graph's own gradient lies in its pool, where the next replay overwrites it.
        gradients = torch.autograd.grad(self._rows, self._weights, self._cotangent)
        torch._foreach_add_(self._gradients, gradients)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]

    def _both(self) -> None:
        self._forward()
        if self._weights:
            self._backward()


def relative_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Of many tensors taken as one long vector; `expected` may lie on another device."""
    off, length = 0.0, 0.0
    for mine, right in zip(found, expected, strict=True):
        right = right.to(mine.device)
        off += float(torch.linalg.vector_norm(mine - right, dtype=torch.float64)) ** 2
        length += float(torch.linalg.vector_norm(right, dtype=torch.float64)) ** 2
    return (off / length) ** 0.5 if length else float(off > 0)
