"""LayerNorm and GroupNorm that compute in float32 and, under autocast, keep half."""

from typing import Any, no_type_check

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_HALVES = (torch.bfloat16, torch.float16)


def keep_half(network: nn.Module) -> None:
    """Have every LayerNorm and GroupNorm below `network` keep and give half precision under autocast.

    CUDA's autocast runs both in float32 and leaves a float32 copy of the input and a float32 output behind;
    what follows (ReLU, sums of residuals) then is float32 as well, and every linear layer makes a half copy
    of its own. Their class is exchanged: names of weights stay, and without autocast they are torch's own.
    Norms of other classes, BatchNorm among them, stay as they are.
    """
    for module in network.modules():
        if type(module) in _KEEPING_HALF:
            module.__class__ = _KEEPING_HALF[type(module)]


class HalfLayerNorm(nn.LayerNorm):
    """torch's LayerNorm; under autocast to bf16 or fp16 its output is of that type, whatever its input."""

    @no_type_check
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name for it)
        """Of the shape of the input."""
        half = _half(input)
        if half is None:
            return super().forward(input)
        return _LayerNorm.apply(input, self.weight, self.bias, self.normalized_shape, self.eps, half)


class HalfGroupNorm(nn.GroupNorm):
    """torch's GroupNorm; under autocast to bf16 or fp16 its output is of that type, whatever its input."""

    @no_type_check
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name for it)
        """Of the shape of the input."""
        half = _half(input)
        if half is None:
            return super().forward(input)
        return _GroupNorm.apply(input, self.weight, self.bias, self.num_groups, self.eps, half)


_KEEPING_HALF: dict[type[nn.Module], type[nn.Module]] = {
    nn.LayerNorm: HalfLayerNorm,
    nn.GroupNorm: HalfGroupNorm,
}


# As in the two above: torch.compile cannot follow a check of types, as tests make it, in a recomputed block.
@no_type_check
def _half(x: Tensor) -> torch.dtype | None:
    """The half type that autocast works in on the tensor's device; None where it is off or lets `x` be."""
    place = x.device.type
    if not torch.amp.is_autocast_available(place) or not torch.is_autocast_enabled(place):
        return None
    half = torch.get_autocast_dtype(place)
    return half if half in _HALVES and x.dtype is not torch.float64 else None


class _LayerNorm(torch.autograd.Function):
    """Both passes by torch's own kernels in float32 (float64 for float64)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        shape: Any,  # a tuple of numbers, whose check torch.compile could not trace
        eps: float,
        half: torch.dtype,
    ) -> Tensor:
        out, mean, rstd = torch.native_layer_norm(_wide(x), shape, _wide(weight), _wide(bias), eps)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(_kept(x), mean, rstd, weight, bias)
            ctx.shape, ctx.type = shape, x.dtype
        return out.to(half)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, mean, rstd, weight, bias = ctx.saved_tensors
        slopes = torch.ops.aten.native_layer_norm_backward(
            _wide(grad), _wide(x), ctx.shape, mean, rstd, _wide(weight), _wide(bias), ctx.needs_input_grad[:3]
        )
        return *_of_type(ctx.type, slopes), None, None, None


class _GroupNorm(torch.autograd.Function):
    """Both passes by torch's own kernels in float32 (float64 for float64).

    Those for half on a card round the mean and the deviation to half as well, which moves a whole group.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        groups: int,
        eps: float,
        half: torch.dtype,
    ) -> Tensor:
        sizes = x.shape[0], x.shape[1], x.shape[2:].numel(), groups
        # A card's kernels want the usual layout; torch's GroupNorm turns its input back there too.
        out, mean, rstd = torch.native_group_norm(
            _wide(x).contiguous(), _wide(weight), _wide(bias), *sizes, eps
        )
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(_kept(x), mean, rstd, weight)
            ctx.sizes, ctx.type = sizes, x.dtype
        return out.to(half)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, mean, rstd, weight = ctx.saved_tensors
        grad, x = _wide(grad).contiguous(), _wide(x).contiguous()
        slopes = torch.ops.aten.native_group_norm_backward(
            grad, x, mean, rstd, _wide(weight), *ctx.sizes, ctx.needs_input_grad[:3]
        )
        return *_of_type(ctx.type, slopes), None, None, None


def _kept(x: Tensor) -> Tensor:
    """What the backward pass reads: half as it is, float32 as bf16, which has its range (fp16 has not)."""
    return x.bfloat16() if x.dtype is torch.float32 else x


def _wide(x: Any) -> Any:
    """At least float32; None stays None."""
    return x if x is None or x.dtype is torch.float64 else x.float()


def _of_type(kind: torch.dtype, slopes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The input's gradient in the input's type; those of the weights as they are."""
    return None if slopes[0] is None else slopes[0].to(kind), *slopes[1:]
