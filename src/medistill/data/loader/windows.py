"""Windows of pairs: decoded, augmented, tokenized and identified, on the host."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count, islice
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from medistill.data.image import letterbox
from medistill.data.loader.augment import augment, draws
from medistill.data.loader.batched import augment_on, settings
from medistill.data.loader.on_card import ImagesOnCard
from medistill.data.loader.order import epoch_windows, shared_windows, window_sizes
from medistill.data.loader.packed import Packed, packed, unpacked
from medistill.data.loader.wording import Wordings
from medistill.data.loader.workers import Workers

_CPU = torch.device("cpu")
_CHUNK = 32
"""Pairs that a worker makes at once: several share a window, and each holds little shared memory."""
ReadImage = Callable[[int], np.ndarray]
"""Row number -> 8-bit grey image, (h, w); it is sent to the workers, so it must pickle."""
Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""n texts -> ids and mask, (n, l) each; it is sent to the workers, so it must pickle."""
Places = Int[np.ndarray, "_ 2"]
"""(epoch, row) of each pair."""
Asked = Float32[np.ndarray, "_ 267"] | None
"""What a card has yet to make of the images; None if that is done, or nothing."""
Chunk = Packed
"""Of some pairs: token ids of each reading, what a card is asked for if it is, masks of each, images."""


@dataclass(frozen=True)
class Window:
    """N pairs as the model takes them, with the ids that say which belong together."""

    images: UInt8[Tensor, "n h w"]
    tokens: Int[Tensor, "n l"]
    mask: Bool[Tensor, "n l"]
    study: Int[Tensor, " n"]
    text: Int[Tensor, " n"]
    image_lower: Float[Tensor, "n ..."] | None = None
    """What the frozen part of the image tower makes of the images, once computed; they may then be empty."""
    text_lower: Float[Tensor, "n ..."] | None = None
    """The same of texts: a row a token, or a row a text."""
    row: Int[Tensor, " n"] | None = None
    """Place of each pair in the corpus, for an objective that remembers pairs."""
    whole: "Window | None" = None
    """The same pairs with the whole of texts of which these are cut: a teacher reads them."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor | None, Tensor | None] | None]:
        """What a dual encoder takes."""
        known = self.image_lower is not None or self.text_lower is not None
        return self.images, self.tokens, self.mask, (self.image_lower, self.text_lower) if known else None

    def part(self, rows: slice, device: torch.device) -> "Window":
        """Some of the pairs on `device`, the tokens cut to the longest text among them.

        From pinned memory nothing here waits for the device, and the images of the rows that follow are
        copied while it works on these.
        """
        longest = int(self.mask[rows].sum(dim=1).max())
        columns = (self.tokens, self.mask, self.study, self.text)
        # Cut on the device: a cut of the columns is not contiguous, and would be gathered in unpinned memory.
        tokens, mask, study, text = (x[rows].to(device, non_blocking=True) for x in columns)
        optional = (self.image_lower, self.text_lower, self.row)
        image_lower, text_lower, row = (
            None if x is None else x[rows].to(device, non_blocking=True) for x in optional
        )
        if text_lower is not None and text_lower.ndim > 2:
            text_lower = text_lower[:, :longest]
        images = self._images.part(rows, device) if device.type == "cuda" else self.images[rows].to(device)
        texts = tokens[:, :longest], mask[:, :longest]
        return Window(images, *texts, study, text, image_lower, text_lower, row)

    @cached_property
    def _images(self) -> ImagesOnCard:
        return ImagesOnCard(self.images)


class Kept(NamedTuple):
    """What locked towers make of every row, so that the window holds it in place of their inputs."""

    image: Float32[np.ndarray, "_ e"] | None = None
    text: Float32[np.ndarray, "_ k"] | None = None

    def lower(self, rows: Int[np.ndarray, " n"]) -> dict[str, Tensor]:
        """The fields of a window of these rows."""
        both = {"image_lower": self.image, "text_lower": self.text}
        return {name: torch.from_numpy(kept[rows]) for name, kept in both.items() if kept is not None}


_NOTHING = Kept()


class WindowLoader:
    """Windows of an epoch from any cursor on, the same for every number of workers.

    With workers, they live as long as the loader, and the window that follows, be it of the next epoch, is
    made while one is in use.

    pad      token id that fills up short texts
    window   pairs in a window, over all parts
    strength of augmentation, as in `augment.draws`
    share    (i, n): this process loads the i-th of n equal parts of each window, from 0
    device   where the windows will be used: for a CUDA device they come in pinned memory, from which copies
             need no waiting, and are augmented there, which costs a core more than decoding does
    kept     features of locked towers: what they are of is neither decoded nor tokenized
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
        strength: float = 1.0,
        share: tuple[int, int] = (0, 1),
        device: torch.device = _CPU,
        kept: Kept = _NOTHING,
    ):
        part, parts = share
        if window % parts or not 0 <= part < parts:
            raise ValueError(
                f"found part {part} of {parts} of a window of {window} pairs: it must be shared evenly"
            )
        self.pairs, self.window, self.seed, self.share = len(wordings), window, seed, share
        self.study, self.wordings = _codes(study_ids), wordings
        self.pad, self.workers, self.device, self.kept = pad, workers, device, kept
        on_card = device.type == "cuda"
        self.source = _Chunks(
            None if kept.image is not None else read_image,
            wordings,
            None if kept.text is not None else tokenize,
            size=size,
            seed=seed,
            augmented=augmented and kept.image is None,
            strength=strength,
            on_card=on_card,
        )
        self._workers = Workers(self.source, workers=workers, seed=seed)
        # Runs when the loader is gone, at the latest at exit: before the queues to the workers close, at 10.
        Finalize(self, self._workers.close, exitpriority=100)
        self._coming: Generator[tuple[Window, Asked]] | None = None
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
            window, asked = next(coming)
            self._next = (epoch, number + 1) if number + 1 < windows else (epoch + 1, 0)
            # Here, not in the thread: what it asked of a card would spoil a graph that is being captured.
            yield _for_card(window, asked, self.device) if self.device.type == "cuda" else window

    def _begin(self, epoch: int, number: int) -> Generator[tuple[Window, Asked]]:
        share = partial(shared_windows, self.pairs, self.window, seed=self.seed, share=self.share)
        chunks = (chunk for window in _endless(share, epoch, number) for chunk in _cut(window))
        join = partial(
            _windows,
            _endless(share, epoch, number),
            study=self.study,
            wordings=self.wordings,
            pad=self.pad,
            kept=self.kept,
        )
        self._coming = self._workers.results(chunks, join)
        return self._coming


class _Chunks(Dataset[Chunk]):
    """Item: some pairs by their (epoch, row); without images, or tokens, where nothing reads them."""

    def __init__(
        self,
        read_image: ReadImage | None,
        wordings: Wordings,
        tokenize: Tokenize | None,
        *,
        size: int,
        seed: int,
        augmented: bool,
        strength: float,
        on_card: bool,
    ):
        self.read_image, self.wordings, self.tokenize = read_image, wordings, tokenize
        self.size, self.seed, self.augmented, self.on_card = size, seed, augmented, on_card
        self.strength = strength

    def __getitem__(self, places: Places) -> Chunk:
        images, none = np.zeros((len(places), 0, 0), np.uint8), torch.zeros(len(places), 0, dtype=torch.long)
        read = [(none, none.bool())]
        if self.read_image:
            rows: list[int] = places[:, 1].tolist()
            images = np.stack([letterbox(self.read_image(row), self.size) for row in rows])
        if self.tokenize:
            read = [self.tokenize(texts) for texts in self.wordings.readings(places)]
        asked = list[np.ndarray]()
        if self.augmented and self.on_card:
            asked = [settings(draws(places, seed=self.seed, strength=self.strength))]
        elif self.augmented:
            images = augment(images, places, seed=self.seed, strength=self.strength)
        tokens, masks = zip(*read, strict=True)
        return packed([*(ids.numpy() for ids in tokens), *asked, *(mask.numpy() for mask in masks), images])


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
    kept: Kept,
) -> Generator[tuple[Window, Asked]]:
    """Each window of the order, put together of its chunks."""
    for places in order:
        made = [unpacked(chunk) for chunk in islice(chunks, len(_cut(places)))]
        *columns, images = zip(*made, strict=True)
        readings = 2 if wordings.cut else 1
        tokens, asked, masks = columns[:readings], columns[readings:-readings], columns[-readings:]
        texts = [(_padded(ids, pad), _padded(mask, False)) for ids, mask in zip(tokens, masks, strict=True)]
        pixels, row = torch.from_numpy(np.concatenate(images)), torch.from_numpy(places[:, 1])
        known: dict[str, Any] = {"study": study[row], "text": wordings.codes(places), "row": row}
        known |= kept.lower(places[:, 1])
        window, *whole = (Window(pixels, *text, **known) for text in texts)
        window = replace(window, whole=whole[0] if whole else None)
        yield window, np.concatenate(asked[0]) if asked else None


def _padded(parts: Sequence[np.ndarray], value: int) -> Tensor:
    """The rows of all parts, those of shorter parts filled up."""
    shape = (sum(len(part) for part in parts), max(part.shape[1] for part in parts))
    whole, row = np.full(shape, value, parts[0].dtype), 0
    for part in parts:
        whole[row : row + len(part), : part.shape[1]] = part
        row += len(part)
    return torch.from_numpy(whole)


def _for_card(window: Window, asked: Asked, device: torch.device) -> Window:
    """In pinned memory, and augmented if that is still to be done."""
    columns = {name: column for name, column in vars(window).items() if column is not None}
    whole: Window | None = columns.pop("whole", None)
    window = Window(**{name: column.pin_memory() for name, column in columns.items()})
    if asked is not None:
        augment_on(device, window.images, torch.from_numpy(asked).pin_memory())
    if whole is not None:
        tokens, mask = whole.tokens.pin_memory(), whole.mask.pin_memory()
        window = replace(window, whole=replace(window, tokens=tokens, mask=mask))
    return window


def _codes(values: Sequence[str]) -> Int[Tensor, " n"]:
    """Equal strings, equal numbers."""
    places: dict[str, int] = {}
    return torch.tensor([places.setdefault(value, len(places)) for value in values])
