"""The images of a window that a card is given, some rows at a time."""

from functools import cache

import torch
from jaxtyping import UInt8
from torch import Tensor

Rows = tuple[int, int]
"""First, and the one behind the last."""


class ImagesOnCard:
    """Rows of images as a card has them: the next ones are copied while it works on those asked for.

    A window is gone through from its beginning, perhaps several times, in parts of a size: what follows is
    known. Other rows are copied when they are asked for, and so is all that is not in pinned memory, since
    such a copy would wait for the card.
    """

    def __init__(self, images: UInt8[Tensor, "n h w"]) -> None:
        self.images, self._pinned = images, images.is_pinned()
        self._rows: Rows | None = None
        self._here = images[:0]
        self._coming_rows: Rows | None = None
        self._coming = images[:0]

    def part(self, rows: slice, device: torch.device) -> UInt8[Tensor, "b h w"]:
        """These rows, safe to use in the current stream."""
        asked = (rows.start, rows.stop)
        if asked != self._rows:
            self._rows, self._here = asked, self._taken(asked, device)
            self._begin((rows.stop, min(2 * rows.stop - rows.start, len(self.images))), device)
        return self._here

    def _taken(self, asked: Rows, device: torch.device) -> Tensor:
        if asked != self._coming_rows:
            return self.images[slice(*asked)].to(device, non_blocking=True)
        using = torch.cuda.current_stream(device)
        using.wait_stream(_copying(device))
        self._coming.record_stream(using)  # its memory must not be used again before `using` is done with it
        return self._coming

    def _begin(self, following: Rows, device: torch.device) -> None:
        """Start copying rows beside what the current stream is given from now on."""
        self._coming_rows = None
        if following[0] >= following[1] or not self._pinned:
            return
        copying = _copying(device)
        copying.wait_stream(torch.cuda.current_stream(device))  # it may still be augmenting them
        with torch.cuda.stream(copying):
            self._coming = self.images[slice(*following)].to(device, non_blocking=True)
        self._coming_rows = following


@cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
