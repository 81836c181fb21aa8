"""What the text of each pair says in each epoch."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from medistill.data.corpus import Rows
from medistill.data.report.sections import normalized_text
from medistill.data.report.sentences import sentences

Section = Literal["text", "findings", "impression", "random"]
TextPart = Literal["whole", "sentences"]


class Wordings:
    """The texts a row may have; where it has several, each epoch draws one of them by (seed, epoch, row).

    part   what a student reads of it: the whole, or half of the time some of its sentences, drawn by the
           same three; a teacher always reads the whole
    """

    def __init__(self, options: Sequence[Sequence[str]], *, seed: int, part: TextPart = "whole") -> None:
        assert all(options), "every row needs a text"
        self.options, self.seed, self.part = options, seed, part
        places: dict[str, int] = {}
        self._codes = [
            [places.setdefault(normalized_text(text), len(places)) for text in texts] for texts in options
        ]

    def __len__(self) -> int:
        return len(self.options)

    def readings(self, places: Int[np.ndarray, "n 2"]) -> list[list[str]]:
        """The texts of pairs by their (epoch, row): as a student reads them and, if they are cut, whole."""
        pairs: list[tuple[int, int]] = places.tolist()
        whole = [self.options[row][self._drawn(epoch, row)] for epoch, row in pairs]
        if not self.cut:
            return [whole]
        return [[self._part(text, *pair) for text, pair in zip(whole, pairs, strict=True)], whole]

    @property
    def cut(self) -> bool:
        """Whether a student reads parts of texts."""
        return self.part != "whole"

    @property
    def fixed(self) -> list[str] | None:
        """The text of each row, if it is the same in every epoch."""
        if self.cut or any(len(texts) > 1 for texts in self.options):
            return None
        return [text for (text,) in self.options]

    def codes(self, places: Int[np.ndarray, "n 2"]) -> Int[Tensor, " n"]:
        """A number for each pair's text, equal where the normalized whole texts are."""
        pairs: list[tuple[int, int]] = places.tolist()
        return torch.tensor([self._codes[row][self._drawn(epoch, row)] for epoch, row in pairs])

    def _drawn(self, epoch: int, row: int) -> int:
        several = len(self.options[row])
        return int(self._random(epoch, row, _OF_SEVERAL).integers(several)) if several > 1 else 0

    def _part(self, text: str, epoch: int, row: int) -> str:
        """The text, or some but not all of its sentences in their order: any number is as likely."""
        said = sentences(text)
        random = self._random(epoch, row, _OF_SENTENCES)
        if len(said) < 2 or random.random() < 0.5:
            return text
        kept = random.choice(len(said), random.integers(1, len(said)), replace=False)
        return " ".join(said[place] for place in sorted(kept.tolist()))

    def _random(self, epoch: int, row: int, salt: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, row, salt))


_OF_SEVERAL, _OF_SENTENCES = 1, 2
"""Salts of the draws; the image's augmentation draws from seed, epoch and row alone."""


def wordings(rows: Rows, section: Section, *, seed: int, part: TextPart = "whole") -> Wordings:
    """The texts to train on: the corpus's own, a section of the report, or one of the two, drawn each epoch.

    A report without the section asked for is taken whole.
    """
    if section == "text":
        return Wordings([(text,) for text in rows.texts], seed=seed, part=part)
    names = ("findings", "impression") if section == "random" else (section,)
    columns = zip(*(rows.column(name) for name in names), strict=True)
    options = [tuple(filter(None, texts)) or (text,) for texts, text in zip(columns, rows.texts, strict=True)]
    return Wordings(options, seed=seed, part=part)
