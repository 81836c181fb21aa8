"""How a window is cut, and cut smaller when memory runs out."""

import logging
from dataclasses import dataclass
from typing import Literal

from medistill.engine.gather import ranks
from medistill.errors import MedistillError

log = logging.getLogger(__name__)
Tower = Literal["image", "text"]
TOWERS: tuple[Tower, ...] = ("image", "text")


@dataclass
class Batching:
    """How a rank's share of a window is cut."""

    micro: int
    """Pairs of one pass through both towers, and the unit in which the teacher's passes are counted."""
    per_step: int
    """Pairs between two optimizer steps; stays when memory runs out and the others have to shrink."""
    image: int = 0
    """Images of one pass through the image tower alone; 0: `micro`."""
    text: int = 0
    """Texts of one pass through the text tower alone; 0: `micro`."""
    passing: Tower | None = None
    """The tower that is at work alone: a shortage of memory is laid to it, or to both if it is None."""

    def chunks(self, tower: Tower, rows: slice) -> list[slice]:
        """The passes of a tower over these rows; a shortage of memory is laid to it from here on."""
        self.passing = tower
        return chunk_rows(rows.stop - rows.start, self.size(tower), start=rows.start)

    def size(self, tower: Tower) -> int:
        """Pairs of one pass of that tower; a pass ends with its step."""
        return min(getattr(self, tower) or self.micro, self.per_step)

    def halve(self) -> None:
        """Half the memory at the same optimizer steps; MedistillError where that cannot help."""
        name, size = (self.passing, self.size(self.passing)) if self.passing else ("micro", self.micro)
        option = f"--{self.passing}-micro-batch" if self.passing else "--micro-batch"
        if ranks() > 1:
            raise MedistillError(
                f"a card ran out of memory at micro-batches of {size} pairs; several ranks cannot "
                f"shrink them on the way: start again with {option} {max(size // 2, 1)}"
            )
        if size == 1:
            raise MedistillError(
                "out of memory with a single pair in a micro-batch; use smaller images (--size), shorter "
                "texts (--max-tokens) or smaller towers"
            )
        setattr(self, name, -(-size // 2))
        log.warning(
            "out of memory: going on with %smicro-batches of %d pairs, a step every %d pairs as before",
            f"{self.passing} " if self.passing else "",
            -(-size // 2),
            self.per_step,
        )


def chunk_rows(pairs: int, size: int, *, start: int = 0) -> list[slice]:
    """Slices of at most `size` rows that cover `pairs` rows in order, from `start` on."""
    stop = start + pairs
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]
