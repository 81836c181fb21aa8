"""Windows of pairs: decoded, augmented, tokenized and identified, on the host."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from multiprocessing.util import Finalize

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from medistill.data.image import letterbox
from medistill.data.loader.augment import augment
from medistill.data.loader.order import epoch_windows, shared_windows, window_sizes
from medistill.data.loader.wording import Wordings
from medistill.data.loader.workers import Workers

_CHUNK = 32
"""Pairs that a worker makes at once: several share a window, and each holds little shared memory."""
ReadImage = Callable[[int], np.ndarray]
"""Row number -> 8-bit grey image, (h, w); it is sent to the workers, so it must pickle."""
Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""n texts -> ids and mask, (n, l) each; it is sent to the workers, so it must pickle."""
Places = Int[np.ndarray, "_ 2"]
"""(epoch, row) of each pair."""
Chunk = tuple[UInt8[Tensor, "_ _ _"], Int[Tensor, "_ _"], Bool[Tensor, "_ _"]]
"""Images, token ids and mask of some pairs."""


@dataclass(frozen=True)
class Window:
    """N pairs as the model takes them, with the ids that say which belong together."""

    images: UInt8[Tensor, "n h w"]
    tokens: Int[Tensor, "n l"]
    mask: Bool[Tensor, "n l"]
    study: Int[Tensor, " n"]
    text: Int[Tensor, " n"]
    lower: Float[Tensor, "n l e"] | None = None
    """What the frozen layers of the text tower make of the tokens, once computed."""
    row: Int[Tensor, " n"] | None = None
    """Place of each pair in the corpus, for an objective that remembers pairs."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What a dual encoder takes."""
        return self.images, self.tokens, self.mask, self.lower

    def part(self, rows: slice, device: torch.device) -> "Window":
        """Some of the pairs on `device`, the tokens cut to the longest text among them.

        From pinned memory nothing here waits for the device.
        """
        longest = int(self.mask[rows].sum(dim=1).max())
        columns = (self.images, self.tokens, self.mask, self.study, self.text)
        # Cut on the device: a cut of the columns is not contiguous, and would be gathered in unpinned memory.
        images, tokens, mask, study, text = (x[rows].to(device, non_blocking=True) for x in columns)
        lower = None if self.lower is None else self.lower[rows, :longest].to(device, non_blocking=True)
        row = None if self.row is None else self.row[rows].to(device, non_blocking=True)
        return Window(images, tokens[:, :longest], mask[:, :longest], study, text, lower, row)


class WindowLoader:
    """Windows of an epoch from any cursor on, the same for every number of workers.

    With workers, they live as long as the loader, and the window that follows, be it of the next epoch, is
    made while one is in use.

    pad      token id that fills up short texts
    window   pairs in a window, over all parts
    share    (i, n): this process loads the i-th of n equal parts of each window, from 0
    pinned   windows come in pinned memory, from which copies to a CUDA device need no waiting
    """

    def __init__(
        self,
        read_image: ReadImage,
        wordings: Wordings,
        study_ids: Sequence[str],
        tokenize: Tokenize,
        *,
        pad: int,
        size: int,
        window: int,
        seed: int,
        augmented: bool,
        workers: int,
        share: tuple[int, int] = (0, 1),
        pinned: bool = False,
    ):
        part, parts = share
        if window % parts or not 0 <= part < parts:
            raise ValueError(
                f"found part {part} of {parts} of a window of {window} pairs: it must be shared evenly"
            )
        self.pairs, self.window, self.seed, self.share = len(wordings), window, seed, share
        self.study, self.wordings = _codes(study_ids), wordings
        self.pad, self.workers, self.pinned = pad, workers, pinned
        self.source = _Chunks(read_image, wordings, tokenize, size=size, seed=seed, augmented=augmented)
        self._workers = Workers(self.source, workers=workers, seed=seed)
        # Runs when the loader is gone, at the latest at exit: before the queues to the workers close, at 10.
        Finalize(self, self._workers.close, exitpriority=100)
        self._coming: Generator[Window] | None = None
        self._next: tuple[int, int] | None = None
        """Epoch and number of the window that `_coming` gives next; None if it cannot go on."""

    def order(self, epoch: int) -> list[Int[np.ndarray, " n"]]:
        """Row numbers of each window of the epoch, over all parts."""
        return epoch_windows(self.pairs, self.window, seed=self.seed, epoch=epoch, ranks=self.share[1])

    def sizes(self, epoch: int) -> list[int]:
        """Pairs in each window of the epoch, over all parts."""
        return window_sizes(self.pairs, self.window, epoch=epoch, ranks=self.share[1])

    def windows(self, epoch: int, start: int = 0) -> Iterator[Window]:
        """This part of the epoch's windows from number `start` on.

        Epochs asked for one after the other go on without a pause; anything else begins anew.
        """
        windows = len(self.sizes(epoch))
        for number in range(start, windows):
            coming = self._coming
            if coming is None or self._next != (epoch, number):
                coming = self._begin(epoch, number)
            self._next = None  # until it came without an error
            window = next(coming)
            self._next = (epoch, number + 1) if number + 1 < windows else (epoch + 1, 0)
            yield window

    def _begin(self, epoch: int, number: int) -> Generator[Window]:
        share = partial(shared_windows, self.pairs, self.window, seed=self.seed, share=self.share)
        chunks = (chunk for window in _endless(share, epoch, number) for chunk in _cut(window))
        join = partial(
            _windows,
            _endless(share, epoch, number),
            study=self.study,
            wordings=self.wordings,
            pad=self.pad,
            pinned=self.pinned,
        )
        self._coming = self._workers.results(chunks, join)
        return self._coming


class _Chunks(Dataset[Chunk]):
    """Item: some pairs by their (epoch, row)."""

    def __init__(
        self,
        read_image: ReadImage,
        wordings: Wordings,
        tokenize: Tokenize,
        *,
        size: int,
        seed: int,
        augmented: bool,
    ):
        self.read_image, self.wordings, self.tokenize = read_image, wordings, tokenize
        self.size, self.seed, self.augmented = size, seed, augmented

    def __getitem__(self, places: Places) -> Chunk:
        rows: list[int] = places[:, 1].tolist()
        images = np.stack([letterbox(self.read_image(row), self.size) for row in rows])
        if self.augmented:
            images = augment(images, places, seed=self.seed)
        return torch.from_numpy(images), *self.tokenize(self.wordings.texts(places))


def _endless(share: Callable[..., list[Places]], epoch: int, number: int) -> Iterator[Places]:
    """Windows from number `number` of `epoch` on, through all epochs that follow."""
    yield from share(epoch=epoch)[number:]
    for later in count(epoch + 1):
        yield from share(epoch=later)


def _cut(window: Places) -> list[Places]:
    return np.split(window, range(_CHUNK, len(window), _CHUNK))


def _windows(
    order: Iterator[Places],
    chunks: Iterator[Chunk],
    *,
    study: Tensor,
    wordings: Wordings,
    pad: int,
    pinned: bool,
) -> Generator[Window]:
    """Each window of the order, put together of its chunks."""
    for places in order:
        images, tokens, mask = zip(*islice(chunks, len(_cut(places))), strict=True)
        longest = max(part.shape[1] for part in mask)
        tokens = [F.pad(part, (0, longest - part.shape[1]), value=pad) for part in tokens]
        mask = [F.pad(part, (0, longest - part.shape[1])) for part in mask]
        row = torch.from_numpy(places[:, 1])
        columns = (images, tokens, mask, [study[row]], [wordings.codes(places)], [row])
        *columns, row = (_together(column, pinned) for column in columns)
        yield Window(*columns, row=row)


def _together(parts: Sequence[Tensor], pinned: bool) -> Tensor:
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    return torch.cat(list(parts), out=torch.empty(shape, dtype=parts[0].dtype, pin_memory=pinned))


def _codes(values: Sequence[str]) -> Int[Tensor, " n"]:
    """Equal strings, equal numbers."""
    places: dict[str, int] = {}
    return torch.tensor([places.setdefault(value, len(places)) for value in values])
