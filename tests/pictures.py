"""Picture files that decoders stumble over, made by hand."""

import struct
import zlib


def png(color: int, *, depth: int = 8, chunks: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A PNG file of one pixel of a color type, with chunks of one's own before its data."""
    header = struct.pack(">IIBBBBB", 1, 1, depth, color, 0, 0, 0)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" + b"\0" * 8)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in every)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


NO_PALETTE = png(3)
"""Indexed color without a palette: Pillow opens it, loads it, and fails when it is converted."""
ABSENT_COLOR = png(3, chunks=((b"PLTE", b"\1\2"), (b"tRNS", b"\0" * 300)))
"""A palette of less than one color, and more transparency than colors."""
PAPER_THIN = png(3, depth=1, chunks=((b"eXIf", b"x"),))
"""Indexed color of one bit without a palette, and EXIF that is none."""
STUMBLES = {"no palette": NO_PALETTE, "absent color": ABSENT_COLOR, "thin": PAPER_THIN}
