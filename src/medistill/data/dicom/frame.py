"""What a compressed frame is by its own markers, and whether it is complete.

Decoders that meet a broken frame return half an image with the rest grey, or end the process. So its
markers are read first. Markers and lengths: ITU-T T.81 annex B (JPEG), T.87 annex C (JPEG-LS), T.800
annex A (JPEG 2000).
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from medistill.errors import MedistillError

Kind = Literal["JPEG", "lossless JPEG", "JPEG-LS", "JPEG 2000"]
JPEG_START = b"\xff\xd8"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"
_SCAN = 0xDA
_LSE = 0xF8
_KINDS: dict[int, Kind] = {
    **dict.fromkeys((0xC0, 0xC1, 0xC2), "JPEG"),  # baseline, extended, progressive
    0xC3: "lossless JPEG",
    0xF7: "JPEG-LS",
}
_HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF}
_ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCC}
_HUFFMAN, _ADOBE = 0xC4, 0xEE
_ADDED = {*range(0xE0, 0xF0), 0xFE}  # applications' segments, and comments
_RGB_NAMES = (b"RGB", b"rgb")
_TRAILING = 0.01  # of the frame may follow its end: some vendors leave garbage there
_TRUNCATED = "truncated DICOM image: a compressed frame lacks its end"
_DAMAGED = "broken DICOM image: the markers of a compressed frame are damaged"


class Stream(NamedTuple):
    """A compressed frame by its own account."""

    kind: Kind
    rows: int
    columns: int
    samples: int
    bits: int
    """Of a sample."""
    is_signed: bool
    is_rgb: bool
    """Three samples are red, green and blue, as far as the markers say; else they are luma and chroma."""


def read_stream(frame: bytes) -> Stream:
    """The markers of a JPEG, JPEG-LS or JPEG 2000 frame; MedistillError where it is cut short or damaged."""
    start = _jpeg_2000_start(frame)
    return _jpeg(frame) if start is None else _jpeg_2000(frame[start:])


def is_jpeg(frame: bytes) -> bool:
    """Whether a frame begins like a JPEG of some kind."""
    return frame[:2] == JPEG_START or _jpeg_2000_start(frame) is not None


def jpeg_header(file: bytes) -> tuple[str, int] | None:
    """Kind and bits of a sample of a JPEG file by its first frame header; None where there is none.

    For files outside DICOM, of which only the reason of a failure is wanted: no length is held against it.
    """
    place = 2
    while place + 4 < len(file) and file[place] == 0xFF:
        marker = file[place + 1]
        if marker in {*_KINDS, *_HIERARCHICAL, *_ARITHMETIC} - {0xCC, 0xDE, 0xDF}:
            name = _KINDS.get(marker) or _uncommon(marker)
            return name, file[place + 4]
        place += 1 if marker == 0xFF else 2 + int.from_bytes(file[place + 2 : place + 4])
    return None


def bare(frame: bytes) -> bytes:
    """A JPEG without what applications and people add to it, of which some, if damaged, makes gdcm abort."""
    kept, start = frame[:2], 2
    for marker, _, end in _segments(frame):
        kept += b"" if marker in _ADDED else frame[start:end]
        start = end
    return kept + frame[start:]


def with_thresholds(frame: bytes, bits: int) -> bytes:
    """A JPEG-LS frame whose thresholds stand in it, as by T.87 C.2.4.1.1; the same if they do already.

    Those of fewer than eight bits follow from the bits (table C.3), but gdcm refuses to work them out.
    """
    place, near = 0, 0
    for marker, body, end in _segments(frame):
        if marker == _LSE:
            return frame
        if _KINDS.get(marker) == "JPEG-LS":
            place = end
        if marker == _SCAN:
            near = body[-3]
    top = (1 << bits) - 1
    values = (top, *_thresholds(top, near), 64)
    segment = b"\xff\xf8\x00\x0d\x01" + b"".join(value.to_bytes(2) for value in values)
    return frame[:place] + segment + frame[place:]


def _thresholds(top: int, near: int) -> tuple[int, int, int]:
    """T1, T2, T3 for values up to `top`, which is below 128, and a loss of up to `near`."""
    share = 256 // (top + 1)
    chosen, low = list[int](), near + 1
    for least, usual, step in ((2, 3, 3), (3, 7, 5), (4, 21, 7)):
        value = max(least, usual // share + step * near)
        low = low if value > top or value < low else value
        chosen.append(low)
    return chosen[0], chosen[1], chosen[2]


def _jpeg(frame: bytes) -> Stream:
    size: tuple[int, int, int] | None = None
    kind: Kind = "JPEG"
    bits, is_rgb = 0, False
    for marker, body, _ in _segments(frame):
        if marker in {*_HIERARCHICAL, *_ARITHMETIC}:
            raise MedistillError(f"DICOM image in {_uncommon(marker)}, which cannot be decoded")
        if marker in _KINDS:
            if size is not None:
                raise MedistillError(_DAMAGED)
            kind, size, bits = _KINDS[marker], _frame_size(body), body[0]
            is_rgb = is_rgb or kind != "JPEG" or body[6::3] in _RGB_NAMES
        if marker == _ADOBE and body[:5] == b"Adobe" and len(body) >= 12:
            is_rgb = body[11] == 0  # the color transform: none
        if marker == _HUFFMAN:
            _check_huffman(body)
        if marker == _SCAN and (
            size is None or not body or not 1 <= body[0] <= size[2] or len(body) != 4 + 2 * body[0]
        ):
            raise MedistillError(_DAMAGED)
    if size is None:
        raise MedistillError(_DAMAGED)
    return Stream(kind, *size, bits, is_signed=False, is_rgb=is_rgb)


def _uncommon(marker: int) -> str:
    return "hierarchical JPEG" if marker in _HIERARCHICAL else "JPEG with arithmetic coding"


def _segments(frame: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, body and end of each segment up to the first scan; then the end of the image must come."""
    if frame[:2] != JPEG_START:
        raise MedistillError(_DAMAGED)
    place = 2
    while True:
        while frame[place : place + 2] == b"\xff\xff":  # fill bytes
            place += 1
        if place + 4 > len(frame):
            raise MedistillError(_TRUNCATED)
        marker, length = frame[place + 1], int.from_bytes(frame[place + 2 : place + 4])
        if frame[place] != 0xFF or marker < 0xC0 or 0xD0 <= marker <= 0xD9 or length < 2:
            raise MedistillError(_DAMAGED)
        body = frame[place + 4 : place + 2 + length]
        if len(body) < length - 2:
            raise MedistillError(_TRUNCATED)
        place += 2 + length
        yield marker, body, place
        if marker == _SCAN:
            _check_end(frame, place)
            return


def _check_end(frame: bytes, scan: int) -> None:
    # Within a scan ff is followed by 00, a restart, or (JPEG-LS) a byte below 80: the first ff d9 is the end.
    end = frame.find(_END, scan)
    if end < 0:
        raise MedistillError(_TRUNCATED)
    if len(frame) - end - 2 > max(64, _TRAILING * len(frame)) and frame[end + 2 :].strip(b"\0"):
        raise MedistillError(_DAMAGED)


def _frame_size(body: bytes) -> tuple[int, int, int]:
    """Rows, columns and samples of a start of frame: precision, rows, columns, samples, then 3 bytes each."""
    if len(body) < 6 or len(body) != 6 + 3 * body[5] or not 2 <= body[0] <= 16:
        raise MedistillError(_DAMAGED)
    factors = (body[place] for place in range(7, len(body), 3))
    if any(not (1 <= factor >> 4 <= 4 and 1 <= factor & 15 <= 4) for factor in factors):
        raise MedistillError(_DAMAGED)
    return int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), body[5]


def _check_huffman(body: bytes) -> None:
    """Each table: its class and number, 16 counts, then so many values."""
    place = 0
    while place < len(body):
        counts = body[place + 1 : place + 17]
        count, room = sum(counts), sum(number << 16 - length for length, number in enumerate(counts, start=1))
        # So many codes of each length must be free of each other (Kraft): gdcm may abort where they are not.
        if body[place] >> 4 > 1 or body[place] & 15 > 3 or count > 256 or room > 1 << 16:
            raise MedistillError(_DAMAGED)
        place += 17 + count
    if place != len(body):
        raise MedistillError(_DAMAGED)


def _jpeg_2000_start(frame: bytes) -> int | None:
    """Where the codestream begins, be it in the boxes of a JP2 file; None if there is none."""
    if frame[:4] == _JPEG_2000:
        return 0
    if frame[4:8] == b"jP  ":
        place = frame.find(_JPEG_2000)
        return place if place >= 0 else None
    return None


def _jpeg_2000(stream: bytes) -> Stream:
    if len(stream) < 42:
        raise MedistillError(_TRUNCATED)
    right, bottom, left, top = (int.from_bytes(stream[place : place + 4]) for place in (8, 12, 16, 20))
    samples = int.from_bytes(stream[40:42])
    depths = stream[42 : 42 + 3 * samples : 3]
    bits = max(((byte & 127) + 1 for byte in depths), default=0)
    is_signed = any(byte > 127 for byte in depths)
    place = 2
    while (marker := stream[place : place + 2]) != b"\xff\x90":  # the first tile-part
        length = int.from_bytes(stream[place + 2 : place + 4])
        if place + 4 > len(stream):
            raise MedistillError(_TRUNCATED)
        if marker[:1] != b"\xff" or length < 2:
            raise MedistillError(_DAMAGED)
        place += 2 + length
    _check_tile_parts(stream, place)
    return Stream("JPEG 2000", bottom - top, right - left, samples, bits, is_signed, is_rgb=True)


def _check_tile_parts(stream: bytes, place: int) -> None:
    """Each says its length; 0 means up to the end of the codestream. The mark of that end may be missing."""
    while stream[place : place + 2] == b"\xff\x90":
        length = int.from_bytes(stream[place + 6 : place + 10])
        if not length:
            if stream.rfind(_END) < place:
                raise MedistillError(_TRUNCATED)
            return
        if length < 14:
            raise MedistillError(_DAMAGED)
        place += length
        if place > len(stream):
            raise MedistillError(_TRUNCATED)
