"""Whether an image file holds its pixels and nothing else."""

import re
import zlib
from collections.abc import Iterator

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_GREY = b"\x08\0\0\0\0"  # 8 bits, grey, deflate, adaptive filters, not interlaced
# Markers of JPEG (ITU-T T.81 table B.1). Huffman and quantization tables and the restart interval may stay:
# libjpeg checks their lengths, so that nothing can hide behind them.
_TABLES = {0xC4, 0xDB, 0xDD}
_PROGRESSIVE = 0xC2
_FRAMES = {0xC0, 0xC1, _PROGRESSIVE}
_JFIF, _ADOBE = _MARKS = (0xE0, 0xEE)
_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
# In a scan ff 00 stands for a byte ff, and ff d0..d7 are restarts: neither ends it (T.81 B.1.1.5, B.2.1).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)


def is_plain_png(data: bytes) -> bool:
    """Only the header of an 8-bit grey image, its rows and the end; nothing below the last row or behind."""
    chunks = list(_png_chunks(data))
    pieces = [body for name, body in chunks[1:-1] if name == b"IDAT"]
    if [name for name, _ in chunks] != [b"IHDR", *[b"IDAT"] * len(pieces), b"IEND"]:
        return False
    header = chunks[0][1]
    if header[8:] != _GREY or not data.endswith(_PNG_END):
        return False
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    return _inflates_to(height * (width + 1), b"".join(pieces))  # each row starts with the name of its filter


def is_plain_jpeg(data: bytes) -> bool:
    """Only tables, one frame and its scans, at most a JFIF and an Adobe mark without a picture; then the end.

    The bytes within a scan are not read: what is hidden there on purpose stays.
    """
    place, markers = 2, list[int]()
    while (start := data[place : place + 2]) != _JPEG_END:
        length = int.from_bytes(data[place + 2 : place + 4])
        if (
            len(start) < 2
            or start[0] != 0xFF
            or not _may_stay(start[1], data[place + 4 : place + 2 + length])
        ):
            return False
        markers.append(start[1])
        place += 2 + length
        if start[1] == _SCAN:
            end = _MARKER.search(data, place)
            place = end.start() if end else len(data)
    return place + len(_JPEG_END) == len(data) and _is_one_image(markers)


def _is_one_image(markers: list[int]) -> bool:
    frames = [marker for marker in markers if marker in _FRAMES]
    marks = [marker for marker in markers if marker in _MARKS]
    scans = markers.count(_SCAN)
    return (
        len(frames) == 1
        and (scans == 1 or frames == [_PROGRESSIVE])
        and len(set(marks)) == len(marks)
        and markers[-1] == _SCAN
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_PNG_START)
    while place < len(data):
        length = int.from_bytes(data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _inflates_to(size: int, packed: bytes) -> bool:
    stream = zlib.decompressobj()
    try:
        length = len(stream.decompress(packed, size + 1))
    except zlib.error:
        return False
    return length == size and stream.eof and not stream.unused_data


def _may_stay(marker: int, body: bytes) -> bool:
    if marker == _JFIF:
        # The last two bytes are the size of the thumbnail: 0 x 0.
        return len(body) == 14 and body.startswith(b"JFIF\0") and body.endswith(b"\0\0")
    if marker == _ADOBE:
        return len(body) == 12 and body.startswith(b"Adobe")
    return marker in {*_TABLES, *_FRAMES, _SCAN}
