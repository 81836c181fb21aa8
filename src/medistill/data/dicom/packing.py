"""How the pixels of a DICOM file are packed: what its transfer syntax says, and what they are."""

from typing import Any

from medistill.data.dicom.file import Dataset, number_of, require_pydicom
from medistill.data.dicom.frame import Kind, Stream, is_jpeg, read_stream
from medistill.errors import MedistillError

EXPLICIT, _IMPLICIT, _BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = (_IMPLICIT, EXPLICIT, _BIG, _DEFLATED)
_RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
BASELINE, EXTENDED = f"{_JPEG}50", f"{_JPEG}51"
_VIDEO = f"{_JPEG}10"  # MPEG-2, MPEG-4 and HEVC begin so
_ITEM = b"\xfe\xff\x00\xe0"  # begins what is encapsulated, little endian (PS3.5 table A.4-1)
_RLE_START = b"\x40\0\0\0"  # the first segment lies behind a header of 64 bytes (PS3.5 annex G.5)
_SYNTAXES: dict[Kind, tuple[str, ...]] = {
    "lossless JPEG": tuple(f"{_JPEG}{number}" for number in ("57", "70")),
    "JPEG-LS": tuple(f"{_JPEG}{number}" for number in ("80", "81")),
    "JPEG 2000": tuple(f"{_JPEG}{number}" for number in ("91", "90", "92", "93", "201", "202", "203")),
}


def settle_syntax(dataset: Dataset, frame: int) -> Stream | None:
    """The markers of a frame, None of native or run-length encoded pixels; and the file's true syntax set.

    The one named may be absent or wrong: a frame under the name of another JPEG is what its markers say.
    """
    named = str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "")
    if named.startswith(_VIDEO):
        raise MedistillError("not an image: the DICOM file holds a video")
    syntax, stream = named, None
    if not dataset.PixelData.startswith(_ITEM):
        if not named or named.startswith((_JPEG, _RLE)):
            implicit, little = dataset.original_encoding
            syntax = _IMPLICIT if implicit else EXPLICIT if little else _BIG
            _check_native(dataset, named)
    elif named in _NATIVE or named.startswith((_JPEG, _RLE)) or not named:
        syntax, stream = _packed(encoded_frame(dataset, frame), named)
    if syntax != named:
        dataset.file_meta.TransferSyntaxUID = require_pydicom().uid.UID(syntax)  # the decoder looks here
    return stream


def _check_native(dataset: Dataset, named: str) -> None:
    """Refuse native pixels under the name of a compressed syntax, unless they are of just that length."""
    sizes = (number_of(dataset, name) for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"))
    rows, columns, samples, bits = sizes
    wanted = rows * columns * (samples or 1) * (bits or 8) // 8 * max(1, number_of(dataset, "NumberOfFrames"))
    if named and not 0 <= len(dataset.PixelData) - wanted <= 1:
        raise MedistillError("broken DICOM image: its pixels are not packed as its transfer syntax says")


def _packed(frame: bytes, named: str) -> tuple[str, Stream | None]:
    """The syntax of a frame, and its markers if it is a JPEG of some kind."""
    if not is_jpeg(frame):
        return (_RLE if frame[4:8] == _RLE_START or named == _RLE else named), None
    stream = read_stream(frame)
    if stream.kind == "JPEG":
        return (BASELINE if stream.bits == 8 else EXTENDED), stream
    fitting = _SYNTAXES[stream.kind]
    return (named if named in fitting else fitting[0]), stream


def is_packed(dataset: Dataset) -> bool:
    """Whether frames are compressed otherwise than by run length, so that each says its depth itself."""
    return syntax_of(dataset) not in (*_NATIVE, _RLE)


def syntax_of(dataset: Dataset) -> str:
    return str(dataset.file_meta.TransferSyntaxUID)


def stream_at(dataset: Dataset, frame: int) -> Stream | None:
    """The markers of a frame; None of pixels that are native or run-length encoded."""
    return read_stream(encoded_frame(dataset, frame)) if is_packed(dataset) else None


def bytes_a_pixel(dataset: Dataset, frame: int) -> int:
    """What native or run-length encoded pixels take by themselves; 0 where that does not come out even.

    A run-length encoded frame says how many segments it has, one for each byte of a pixel (PS3.5 annex G.5).
    """
    if syntax_of(dataset) == _RLE:
        return int.from_bytes(encoded_frame(dataset, frame)[:4], "little")
    count = number_of(dataset, "Rows") * number_of(dataset, "Columns")
    count *= max(1, number_of(dataset, "NumberOfFrames"))
    size, rest = divmod(len(dataset.PixelData), count)
    return size if rest <= 1 else 0  # a byte may pad it to an even length


def encoded_frame(dataset: Dataset, frame: int) -> bytes:
    """The compressed bytes of a frame, by its number from 0."""
    count = max(1, number_of(dataset, "NumberOfFrames"))
    tables: list[Any] = [dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    try:
        return require_pydicom().encaps.get_frame(
            dataset.PixelData,
            frame,
            number_of_frames=count,
            extended_offsets=tuple(tables) if all(tables) else None,
        )
    except ValueError:
        raise MedistillError(
            f"broken DICOM image: frame {frame + 1:,} of {count:,} is not in its pixel data"
        ) from None
