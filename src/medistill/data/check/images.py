"""Every image of a corpus measured in one pass, and what is wrong with single ones."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int32, UInt8, UInt64

from medistill.data.check.flag import Flag, flag_of_rows, hashed
from medistill.data.check.look import LOOK, contrast, flatness, look, uprightness
from medistill.data.corpus import Corpus
from medistill.data.image import decode_stored
from medistill.data.plain import is_plain_jpeg, is_plain_png
from medistill.errors import MedistillError
from medistill.system.isolated import GaveUp, IsolatedPool, decoding

TINY = 32
"""Pixels of the shorter side. On fewer, ten millimeters of a chest are less than one pixel."""
FAINT = 32
"""Grey levels. What spans fewer is nearly black or white; 2,000 images of five real sets span 69 and more."""
FLAT = 0.99
"""Share of pixels within five grey levels above which an image counts as blank; real ones reach .9."""
INVERTED = -0.2
"""Uprightness below which an image looks inverted: no radiograph of two real sets was below 0."""
SURELY_INVERTED = -0.4
_CHUNK = 64  # images a worker measures at once: the time a part may take is for so many
Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Figures of every image, by row; about 600 bytes each. An unreadable image has zeros."""

    file: UInt64[np.ndarray, " n"]
    """Hash of the file's bytes."""
    pixels: UInt64[np.ndarray, " n"]
    """Hash of the decoded pixels and their shape."""
    shape: Int32[np.ndarray, "n 2"]
    flatness: Float32[np.ndarray, " n"]
    uprightness: Float32[np.ndarray, " n"]
    plain: Bool[np.ndarray, " n"]
    """The file holds pixels and nothing else."""
    looks: Float16[np.ndarray, "n 255"]
    contrast: UInt8[np.ndarray, " m"] = field(default_factory=lambda: np.zeros(0, np.uint8))
    """Grey levels between the darkest and the brightest half percent; empty where nobody measured it."""
    unreadable: Mapping[int, str] = field(default_factory=dict[int, str])
    """Row -> why its image cannot be decoded."""

    def __len__(self) -> int:
        return len(self.file)

    @property
    def readable(self) -> Bool[np.ndarray, " n"]:
        return self.shape[:, 0] > 0

    @property
    def blank(self) -> Bool[np.ndarray, " n"]:
        return self.readable & (self.flatness >= FLAT)


def measure_images(
    corpus: Corpus, *, workers: int = 1, on_progress: Callable[[int, int], None] | None = None
) -> Measures:
    """Decode every image once. The figures are the same for any `workers`."""
    images = corpus.table.num_rows
    measures = _room(images)
    unreadable: dict[int, str] = {}
    starts = range(0, images, _CHUNK)
    measured = in_order(functools.partial(_measured, corpus), starts, workers)
    for start, part in zip(starts, measured, strict=True):
        for column in fields(Measures):
            if column.name != "unreadable":
                getattr(measures, column.name)[start : start + len(part)] = getattr(part, column.name)
        unreadable.update({start + row: reason for row, reason in part.unreadable.items()})
        if on_progress:
            on_progress(start + len(part), images)
    return replace(measures, unreadable=unreadable)


def image_flags(measures: Measures) -> Iterator[Flag]:
    """Unreadable, blank, inverted-looking and tiny images, and files with more than pixels."""
    if measures.unreadable:
        said = "; ".join(f"{count:,} {why}" for why, count in Counter(measures.unreadable.values()).items())
        yield flag_of_rows("unreadable_images", said, np.array(sorted(measures.unreadable)), severity="error")
    blank = np.flatnonzero(measures.blank)
    if len(blank):
        yield flag_of_rows("blank_images", f"{len(blank):,} of one grey, or almost", blank)
    yield from _faint(measures)
    yield from _inverted(measures)
    side = measures.shape.min(axis=1, initial=2**30)
    tiny = np.flatnonzero(measures.readable & (side < TINY))
    if len(tiny):
        yield flag_of_rows("tiny_images", f"{len(tiny):,} with a side under {TINY} pixels", tiny)
    more = np.flatnonzero(measures.readable & ~measures.plain)
    if len(more):
        said = f"{len(more):,} with color, depth, metadata or bytes behind the picture: prepare them again"
        yield flag_of_rows("image_metadata", said, more)


def _faint(measures: Measures) -> Iterator[Flag]:
    if len(measures.contrast) != len(measures):
        return
    rows = np.flatnonzero(measures.readable & ~measures.blank & (measures.contrast < FAINT))
    if len(rows):
        said = f"{len(rows):,} within {FAINT} of 256 grey levels: nearly black or white"
        yield flag_of_rows("faint_images", said, rows[np.argsort(measures.contrast[rows], kind="stable")])


def _inverted(measures: Measures) -> Iterator[Flag]:
    judged = measures.readable & ~measures.blank
    score = np.where(judged, measures.uprightness, np.float32(0))
    rows = np.flatnonzero(score < INVERTED)
    if not len(rows):
        return
    sure = int((score < SURELY_INVERTED).sum())
    said = f"{len(rows):,} ({sure:,} of them surely, if chest radiographs)"
    if 2 * len(rows) > judged.sum():
        said += "; that is most: all are negatives, or the rule for chest radiographs does not fit"
    worst_first = rows[np.argsort(score[rows], kind="stable")]
    yield flag_of_rows("inverted_images", said, worst_first, figures={"sure": sure})


def _room(images: int) -> Measures:
    return Measures(
        file=np.zeros(images, np.uint64),
        pixels=np.zeros(images, np.uint64),
        shape=np.zeros((images, 2), np.int32),
        flatness=np.zeros(images, np.float32),
        uprightness=np.zeros(images, np.float32),
        plain=np.zeros(images, np.bool_),
        looks=np.zeros((images, LOOK), np.float16),
        contrast=np.zeros(images, np.uint8),
    )


def _measured(corpus: Corpus, start: int) -> Measures:
    """The images of one chunk, in whatever process."""
    images = min(_CHUNK, corpus.table.num_rows - start)
    part, unreadable = _room(images), dict[int, str]()
    for row in range(images):
        try:
            file = corpus.cell("image", start + row) or b""
            part.file[row] = hashed(file)
            with decoding():
                image = decode_stored(file)
        except MedistillError as error:
            unreadable[row] = str(error)
            continue
        part.pixels[row] = hashed(repr(image.shape).encode() + image.tobytes())
        part.shape[row] = image.shape
        part.flatness[row] = flatness(image)
        part.contrast[row] = contrast(image)
        part.uprightness[row] = uprightness(image)
        part.plain[row] = is_plain_png(file) if file.startswith(b"\x89PNG") else is_plain_jpeg(file)
        part.looks[row] = look(image)
    return replace(part, unreadable=unreadable)


def in_order(work: Callable[[Part], Result], parts: Iterable[Part], workers: int) -> Iterator[Result]:
    """`work` on each part; few results wait at a time, so memory does not grow with the parts."""
    if workers == 1:
        yield from map(work, parts)
        return
    with IsolatedPool(workers) as pool:
        for _, result in pool.map(work, parts, lambda part: _CHUNK):
            if isinstance(result, GaveUp):
                raise MedistillError(f"images of the corpus could not be read: {result.reason}")
            yield result
