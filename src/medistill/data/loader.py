"""Windows of pairs: decoded, augmented and identified, on the host."""

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medistill.data.augment import augment
from medistill.data.image import letterbox
from medistill.data.order import epoch_windows
from medistill.data.report import normalized_text

_CHUNK = 64
"""Images augmented at once: bounds the float copies of a large window."""
ReadImage = Callable[[int], np.ndarray]
"""Row number -> 8-bit grey image, (h, w); it is sent to the workers, so it must pickle."""
Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""n texts -> ids and mask, (n, l) each."""


@dataclass(frozen=True)
class Window:
    """N pairs as the model takes them, with the ids that say which belong together."""

    images: UInt8[Tensor, "n h w"]
    tokens: Int[Tensor, "n l"]
    mask: Bool[Tensor, "n l"]
    study: Int[Tensor, " n"]
    text: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: slice, device: torch.device) -> "Window":
        """Some of the pairs on `device`, the tokens cut to the longest text among them."""
        longest = int(self.mask[rows].sum(dim=1).max())
        parts = (self.images[rows], self.tokens[rows, :longest], self.mask[rows, :longest])
        ids = (self.study[rows], self.text[rows])
        return Window(*(x.to(device) for x in (*parts, *ids)))


class WindowLoader:
    """Windows of an epoch from any cursor on, the same for every number of workers."""

    def __init__(
        self,
        read_image: ReadImage,
        texts: Sequence[str],
        study_ids: Sequence[str],
        tokenize: Tokenize,
        *,
        size: int,
        window: int,
        seed: int,
        augmented: bool,
        workers: int,
    ):
        self.texts, self.tokenize, self.window, self.seed, self.workers = (
            texts,
            tokenize,
            window,
            seed,
            workers,
        )
        self.images = _WindowImages(read_image, size=size, seed=seed, augmented=augmented)
        self.study = _codes(study_ids)
        self.text = _codes([normalized_text(text) for text in texts])

    @property
    def pairs(self) -> int:
        """Pairs in an epoch."""
        return len(self.texts)

    def order(self, epoch: int) -> list[Int[np.ndarray, " n"]]:
        """Row numbers of each window of the epoch."""
        return epoch_windows(self.pairs, self.window, seed=self.seed, epoch=epoch)

    def windows(self, epoch: int, start: int = 0) -> Iterator[Window]:
        """The epoch's windows from number `start` on."""
        order = self.order(epoch)[start:]
        loader: Any = DataLoader(
            self.images,
            batch_size=None,
            sampler=cast(Any, [(epoch, indices) for indices in order]),
            num_workers=self.workers,
            prefetch_factor=1 if self.workers else None,  # an item is a whole window
            worker_init_fn=_ignore_signals,
            # Without its own generator a loader draws from the global one: dropout differs after a resume.
            generator=torch.Generator().manual_seed(self.seed),
        )
        for indices, images in zip(order, loader, strict=True):
            tokens, mask = self.tokenize([self.texts[int(i)] for i in indices])
            yield Window(images, tokens, mask, self.study[indices], self.text[indices])


class _WindowImages(Dataset[Tensor]):
    """Item (epoch, indices): the images of a whole window."""

    def __init__(self, read_image: ReadImage, *, size: int, seed: int, augmented: bool):
        self.read_image, self.size, self.seed, self.augmented = read_image, size, seed, augmented

    def __getitem__(self, item: tuple[int, Int[np.ndarray, " n"]]) -> UInt8[Tensor, "n s s"]:
        epoch, indices = item
        squares = np.stack([letterbox(self.read_image(int(i)), self.size) for i in indices])
        images = torch.from_numpy(squares)
        if not self.augmented:
            return images
        parts = zip(images.split(_CHUNK), np.split(indices, range(_CHUNK, len(indices), _CHUNK)), strict=True)
        return torch.cat([augment(part, rows, seed=self.seed, epoch=epoch) for part, rows in parts])


def _ignore_signals(worker: int) -> None:
    """SIGTERM and Ctrl-C reach the whole group; the training process decides when its workers end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _codes(values: Sequence[str]) -> Int[Tensor, " n"]:
    """Equal strings, equal numbers."""
    places: dict[str, int] = {}
    return torch.tensor([places.setdefault(value, len(places)) for value in values])
