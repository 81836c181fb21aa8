"""TF32 where it may be: inside the towers of a float32 run."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch


@contextmanager
def tf32(allowed: bool) -> Generator[None]:
    """Whether a card may multiply float32 in here with 10 bits of mantissa; afterwards as before.

    Off around similarities and losses whatever the process has set: at scale 100 a rounded cosine moves a
    logit by .05.
    """
    matmul, cudnn = cast(Any, torch.backends.cuda.matmul), cast(Any, torch.backends.cudnn)
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = allowed, allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
