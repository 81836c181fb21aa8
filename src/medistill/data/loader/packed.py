"""Several arrays as one tensor, for the way from one process to another."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor


class Packed(NamedTuple):
    """Arrays behind each other in one tensor, which lies in shared memory on its way: each costs a file.

    In the pipe beside it they would cost less still, but a process that is killed while it writes there
    leaves the reader waiting for the rest; what says where a tensor lies is short enough to be there at once.
    """

    bytes: UInt8[Tensor, " _"]
    layout: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
    """Shape and type of each."""


def packed(arrays: Sequence[np.ndarray]) -> Packed:
    """Types of more bytes first, so that each array begins at a multiple of its own."""
    flat = np.concatenate([np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays])
    return Packed(torch.from_numpy(flat), tuple((array.shape, array.dtype) for array in arrays))


def unpacked(pack: Packed) -> list[np.ndarray]:
    """The arrays, in the memory of the tensor."""
    flat, place, arrays = pack.bytes.numpy(), 0, list[np.ndarray]()
    for shape, dtype in pack.layout:
        end = place + int(np.prod(shape)) * dtype.itemsize
        arrays.append(flat[place:end].view(dtype).reshape(shape))
        place = end
    return arrays
