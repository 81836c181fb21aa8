"""Whether a compressed frame is complete and as large as its header says.

Decoders that meet a broken frame return half an image with the rest grey, or end the process. So its
markers are read first. Markers and lengths: ITU-T T.81 annex B (JPEG), T.87 annex C (JPEG-LS), T.800
annex A (JPEG 2000).
"""

from collections.abc import Iterator

from medistill.errors import MedistillError

Size = tuple[int, int, int]
"""Rows, columns and samples."""
_END = b"\xff\xd9"
_SCAN = 0xDA
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xF7}  # baseline, extended, progressive, lossless, JPEG-LS
_OTHER_FRAMES = {0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}  # hierarchical and arithmetic
_HUFFMAN = 0xC4
_TRAILING = 0.01  # of the frame may follow its end: some vendors leave garbage there
_TRUNCATED = "truncated DICOM image: a compressed frame lacks its end"
_DAMAGED = "broken DICOM image: the markers of a compressed frame are damaged"


def check_frame(frame: bytes, *, rows: int, columns: int, samples: int, bits: int) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 frame that is cut short, or of another size than stated.

    bits   of the container; a sample may take fewer
    """
    jpeg_2000 = _jpeg_2000_start(frame)
    size, depth = _jpeg_size(frame) if jpeg_2000 is None else _jpeg_2000_size(frame[jpeg_2000:])
    if size != (rows, columns, samples) or depth > bits:
        raise MedistillError("broken DICOM image: a compressed frame is of another size than its header says")


def jpeg_precision(frame: bytes) -> int:
    """Bits of a sample of a JPEG frame; 0 where it says nothing."""
    for marker, body in _segments(frame):
        if marker in _JPEG_FRAMES and body:
            return body[0]
    return 0


def _jpeg_size(frame: bytes) -> tuple[Size, int]:
    size: Size | None = None
    scan = depth = 0
    for marker, body in _segments(frame):
        if marker in _OTHER_FRAMES or (marker in _JPEG_FRAMES and size is not None):
            raise MedistillError(_DAMAGED)
        if marker in _JPEG_FRAMES:
            size, depth = _frame_size(body), body[0]
        if marker == _HUFFMAN:
            _check_huffman(body)
        if marker == _SCAN:
            if size is None or not body or not 1 <= body[0] <= size[2] or len(body) != 4 + 2 * body[0]:
                raise MedistillError(_DAMAGED)
            scan += 1
    if size is None or not scan:
        raise MedistillError(_DAMAGED)
    return size, depth


def _segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment up to the first scan; then the end of the image must come."""
    if frame[:2] != b"\xff\xd8":
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
        yield marker, body
        place += 2 + length
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


def _frame_size(body: bytes) -> Size:
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
        count = sum(body[place + 1 : place + 17])
        if body[place] >> 4 > 1 or body[place] & 15 > 3 or count > 256:
            raise MedistillError(_DAMAGED)
        place += 17 + count
    if place != len(body):
        raise MedistillError(_DAMAGED)


def _jpeg_2000_start(frame: bytes) -> int | None:
    """Where the codestream begins, be it in the boxes of a JP2 file; None if there is none."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        return 0
    if frame[4:8] == b"jP  ":
        place = frame.find(b"\xff\x4f\xff\x51")
        return place if place >= 0 else None
    return None


def _jpeg_2000_size(stream: bytes) -> tuple[Size, int]:
    if len(stream) < 42:
        raise MedistillError(_TRUNCATED)
    right, bottom, left, top = (int.from_bytes(stream[place : place + 4]) for place in (8, 12, 16, 20))
    samples = int.from_bytes(stream[40:42])
    depth = max(((byte & 127) + 1 for byte in stream[42 : 42 + 3 * samples : 3]), default=0)
    place = 2
    while (marker := stream[place : place + 2]) != b"\xff\x90":  # the first tile-part
        length = int.from_bytes(stream[place + 2 : place + 4])
        if place + 4 > len(stream):
            raise MedistillError(_TRUNCATED)
        if marker[:1] != b"\xff" or length < 2:
            raise MedistillError(_DAMAGED)
        place += 2 + length
    _check_tile_parts(stream, place)
    return (bottom - top, right - left, samples), depth


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
