"""What the text of each pair says in each epoch."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from medistill.data.corpus import Rows
from medistill.data.report.sections import normalized_text

Section = Literal["text", "findings", "impression", "random"]


class Wordings:
    """The texts a row may have; where it has several, each epoch draws one of them by (seed, epoch, row)."""

    def __init__(self, options: Sequence[Sequence[str]], *, seed: int) -> None:
        assert all(options), "every row needs a text"
        self.options, self.seed = options, seed
        places: dict[str, int] = {}
        self._codes = [
            [places.setdefault(normalized_text(text), len(places)) for text in texts] for texts in options
        ]

    def __len__(self) -> int:
        return len(self.options)

    def texts(self, places: Int[np.ndarray, "n 2"]) -> list[str]:
        """Of pairs by their (epoch, row)."""
        pairs: list[tuple[int, int]] = places.tolist()
        return [self.options[row][self._drawn(epoch, row)] for epoch, row in pairs]

    def codes(self, places: Int[np.ndarray, "n 2"]) -> Int[Tensor, " n"]:
        """A number for each pair's text, equal where the normalized texts are."""
        pairs: list[tuple[int, int]] = places.tolist()
        return torch.tensor([self._codes[row][self._drawn(epoch, row)] for epoch, row in pairs])

    def _drawn(self, epoch: int, row: int) -> int:
        several = len(self.options[row])
        # The last number is a salt: the image's augmentation draws from the first three.
        return int(np.random.default_rng((self.seed, epoch, row, 1)).integers(several)) if several > 1 else 0


def wordings(rows: Rows, section: Section, *, seed: int) -> Wordings:
    """The texts to train on: the corpus's own, a section of the report, or one of the two, drawn each epoch.

    A report without the section asked for is taken whole.
    """
    if section == "text":
        return Wordings([(text,) for text in rows.texts], seed=seed)
    names = ("findings", "impression") if section == "random" else (section,)
    columns = zip(*(rows.column(name) for name in names), strict=True)
    options = [tuple(filter(None, texts)) or (text,) for texts, text in zip(columns, rows.texts, strict=True)]
    return Wordings(options, seed=seed)
