"""Checksums of a large file by its parts, so that opening it does not read the pieces that come later.

A part is what was written at once, as a batch of images. Its pieces are compared when they are used, each
alone; all else of the file before anything of it is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt64
from xxhash import xxh3_64_intdigest, xxh3_128

_HEX = 16
"""Hexadecimal digits of a piece's checksum."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some bytes of a file with pieces inside that follow one another."""

    bytes: int
    start: int = 0
    """Of the first piece, in the part."""
    lengths: tuple[int, ...] = ()
    """Of the pieces, in bytes."""
    rest: str
    """Checksum of all before the first piece and behind the last."""
    pieces: str = ""
    """Checksum of each piece, 16 digits each."""


def part_of(content: bytes | memoryview, start: int = 0, pieces: Sequence[bytes] = ()) -> dict[str, Any]:
    """The checksums of a part, as JSON."""
    view, lengths = memoryview(content), [len(piece) for piece in pieces]
    rest = xxh3_128(view[:start])
    rest.update(view[start + sum(lengths) :])
    each = "".join(f"{xxh3_64_intdigest(piece):0{_HEX}x}" for piece in pieces)
    part = Part(bytes=len(view), start=start, lengths=tuple(lengths), rest=rest.hexdigest(), pieces=each)
    return asdict(part)


class Pieces:
    """The checksums of a whole file."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        digits = "".join(part.pieces for part in parts)
        self.sums: UInt64[np.ndarray, " n"] = np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)

    def fits(self, number: int, piece: bytes | memoryview) -> bool:
        """Whether this is the piece of that number."""
        return number < len(self.sums) and xxh3_64_intdigest(piece) == int(self.sums[number])

    def rest_fits(self, path: Path) -> bool:
        """Whether the file is as it was but for its pieces, which are not read."""
        for part, view in self._views(path):
            digest = xxh3_128(view[: part.start])
            digest.update(view[part.start + sum(part.lengths) :])
            if digest.hexdigest() != part.rest:
                return False
        return path.stat().st_size == sum(part.bytes for part in self.parts)

    def all_fit(self, path: Path) -> bool:
        """Whether the file is as it was, to the last byte."""
        number = 0
        for part, view in self._views(path):
            place = part.start
            for length in part.lengths:
                if not self.fits(number, view[place : place + length]):
                    return False
                place, number = place + length, number + 1
        return self.rest_fits(path)

    def _views(self, path: Path) -> Iterator[tuple[Part, memoryview]]:
        """Each part with its bytes, mapped; none where the file is of another length."""
        if path.stat().st_size != sum(part.bytes for part in self.parts):
            return
        mapped = np.memmap(path, np.uint8, "r").data  # let go of when nothing looks at it any more
        place = 0
        for part in self.parts:
            yield part, mapped[place : place + part.bytes]
            place += part.bytes


def pieces_of(fields: Mapping[str, Any]) -> Pieces:
    """From the JSON `{"parts": [...]}`."""
    return Pieces([_part(part) for part in fields["parts"]])


def _part(fields: Mapping[str, Any]) -> Part:
    arguments: dict[str, Any] = {**fields, "lengths": tuple(fields["lengths"])}
    return Part(**arguments)
