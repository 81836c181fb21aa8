"""A DICOM file told from others and opened with limits, and its elements read with care.

What pydicom says of it is counted, not shown.
"""

import io
import logging
import math
import re
import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from medistill.errors import MedistillError

Dataset = Any
"""A `pydicom.Dataset`; the base install works without pydicom, so nothing here may need its types."""
HEADER_LIMIT = 16_000_000
"""Bytes of a deflated file that are inflated to find its pixels: a large header has a hundredth of that."""
MISSING = "reading DICOM needs packages that are not installed: pip install medistill[dicom]"
MEMORY = "image takes more memory to read than there is"
_START = 65_536  # the file meta information is about 200 bytes long
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"  # transfer syntax: plain little endian
_TALKATIVE = ("pydicom", "pylibjpeg", "openjpeg")
_LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
"""Value representations whose length takes four bytes, behind two that are empty (PS3.5 table 7.1-1)."""
_SHORT = re.compile(rb"AE|AS|AT|CS|D[AST]|F[DL]|IS|LO|LT|PN|S[HLST]|TM|U[ILS]")
_TEXT = bytes({*b"\t\n\f\r\x1b", *range(0x20, 0x7F), *range(0x80, 0x100)})
_BLANK = b"\xef\xbb\xbf \t\r\n"
_OTHER_KINDS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML file"),
    (b"%pdf-", "a PDF"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"gif8", "a GIF image"),
    (b"ii*\0", "a TIFF image"),
    (b"mm\0*", "a TIFF image"),
    (b"ii+\0", "a TIFF image"),
    (b"mm\0+", "a TIFF image"),
    (b"\0\0\0\x0cjp  ", "a JPEG 2000 image"),
    (b"\xffo\xffq", "a JPEG 2000 image"),
    (b"\0\0\0\x0cjxl ", "a JPEG XL image"),
    (b"\0\0\0\x20ftyp", "a HEIC or AVIF image, or a video"),
    (b"\0\0\0\x1cftyp", "a HEIC or AVIF image, or a video"),
    (b"\0\0\0\x18ftyp", "a HEIC or AVIF image, or a video"),
    (b"nrrd", "an NRRD volume"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"rar!\x1a\x07", "a RAR archive"),
    (b"\x7felf", "a program"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file it stands for"),
)


def is_dicom(start: bytes) -> bool:
    """Whether bytes begin like a DICOM file: with the preamble, or without it by its first element."""
    if start[128:132] == b"DICM":  # PS3.10 section 7.1
        return True
    # Without the preamble a file begins with an element of group 0002 or 0008, this in either byte order.
    group, kind = start[:2], start[4:6]
    if len(start) < 8 or group not in (b"\x02\0", b"\x08\0", b"\0\x08"):
        return False
    if kind in _LONG or _SHORT.fullmatch(kind):
        return True
    # Without a VR the length follows the tag: that of a first element is small and even (PS3.5 7.1.3, 7.1.1).
    length = struct.unpack("<I", start[4:8])[0]
    return group != b"\0\x08" and length < 1024 and length % 2 == 0


def known_kind(start: bytes) -> str | None:
    """A name for what is often saved under the name of an image; None for what is not known."""
    begins = start[:64].lstrip(_BLANK).lower()
    return next((name for mark, name in _OTHER_KINDS if begins.startswith(mark)), None)


def is_text(start: bytes) -> bool:
    """Whether bytes begin like a text a person wrote, and not like a page or document of `known_kind`."""
    if not start or known_kind(start):
        return False
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16
        return b"\0\0" not in start
    return not start.translate(None, _TEXT)


def require_pydicom() -> Any:
    """The pydicom module, which says nothing of what it reads outside of `Caught`."""
    try:
        import pydicom
    except ImportError:
        raise MedistillError(MISSING) from None
    for name in _TALKATIVE:  # their messages quote values, that is patients
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return pydicom


class Remark(UserWarning):
    """A picture that was made in spite of its header, in words that quote nothing of it."""


class Caught:
    """How many warnings were swallowed, and the remarks among them."""

    def __init__(self) -> None:
        self.count = 0
        self.remarks: tuple[str, ...] = ()


@contextmanager
def caught_warnings(reason: str) -> Generator[Caught]:
    """Counts warnings instead of showing them, and turns every failure into `reason`."""
    caught = Caught()
    with warnings.catch_warnings(record=True) as log:
        warnings.simplefilter("always")
        try:
            yield caught
        except MedistillError:
            raise
        except MemoryError:
            raise MedistillError(MEMORY) from None
        except Exception:  # broken bytes raise a dozen types, and their messages quote values
            raise MedistillError(reason) from None
        finally:
            caught.count = len(log)
            said = (str(warning.message) for warning in log if issubclass(warning.category, Remark))
            caught.remarks = tuple(dict.fromkeys(said))


class Header(NamedTuple):
    """The elements before the pixels."""

    dataset: Dataset
    pixels_at: int | None
    """Byte of the file, once it is inflated, at which the pixels begin; None if there are none."""


def header_of(file: io.BufferedIOBase) -> Header:
    """The header of a file that is read no further.

    Call it, and read values of what it returns, inside `caught_warnings`.
    """
    pydicom = require_pydicom()
    start = file.read(_START)
    file.seek(0)
    if not is_dicom(start):
        kind = known_kind(start)
        raise MedistillError(f"not a DICOM file but {kind}" if kind else "not a DICOM file")
    cut = False
    if (place := _deflated_from(start)) is not None:
        file.seek(place)
        plain, cut = _inflated(file.read(), HEADER_LIMIT)
        file = io.BytesIO(plain)
    dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    pixels_at = file.tell()
    pixels_follow = len(file.read(4)) == 4
    if cut and not pixels_follow:
        limit = HEADER_LIMIT // 1_000_000
        raise MedistillError(f"deflated DICOM file whose header is larger than {limit} MB: refused")
    return Header(dataset, pixels_at if pixels_follow else None)


def add_pixels(header: Header, data: bytes, *, pixel_bytes: int) -> Dataset:
    """The header's dataset with the rest of its file, given how large the pixels are by that header.

    What was read is not read again: the header of a cine may take longer than its pixels.
    """
    require_pydicom()
    from pydicom.filereader import read_dataset

    dataset, place = header
    if (deflated := _deflated_from(data[:_START])) is not None:
        data, cut = _inflated(data[deflated:], HEADER_LIMIT + pixel_bytes)
        if cut:
            raise MedistillError("deflated DICOM file that is larger than its header says: refused")
    file = io.BytesIO(data)
    file.seek(place or 0)
    implicit, little = dataset.original_encoding
    dataset.update(read_dataset(file, bool(implicit), bool(little)))
    return dataset


def _deflated_from(start: bytes) -> int | None:
    """Where the deflated part begins; None if the file is not deflated.

    pydicom inflates before it looks at anything, and without a limit.
    """
    place, deflated = 132, False
    if start[128:132] != b"DICM":
        return None
    while start[place : place + 2] == b"\x02\0":
        is_long = start[place + 4 : place + 6] in _LONG
        form, head = ("<I", 12) if is_long else ("<H", 8)
        field = start[place + head - struct.calcsize(form) : place + head]
        if len(field) < struct.calcsize(form):
            return None
        end = place + head + struct.unpack(form, field)[0]
        if start[place + 2 : place + 4] == b"\x10\0":
            deflated = start[place + head : end].rstrip(b"\0 ") == _DEFLATED
        place = end
    return place if deflated else None


def _inflated(packed: bytes, limit: int) -> tuple[bytes, bool]:
    """The file as plain little endian, and whether it was cut at `limit` bytes."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)  # raw deflate, without a zlib header (PS3.5 annex A.5)
    try:
        plain = stream.decompress(packed, limit)
    except zlib.error:
        raise MedistillError("broken DICOM file: its deflated part cannot be inflated") from None
    cut = bool(stream.unconsumed_tail)
    if not cut and not stream.eof:
        raise MedistillError("truncated DICOM file: its deflated part has no end")
    return b"".join((bytes(128), b"DICM", _EXPLICIT, plain)), cut


def value_of(dataset: Dataset, keyword: str) -> Any:
    """The value of an element; None where it is absent, empty or cannot be understood."""
    try:
        return dataset.get(keyword)
    except Exception:  # as for the file: a broken element raises anything
        return None


def text_of(dataset: Dataset, keyword: str) -> str:
    """The value as text, several joined by a backslash, without padding."""
    value = value_of(dataset, keyword)
    if value is None:
        return ""
    many = value if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
    return "\\".join(str(item).strip(" \0") for item in many)


def number_of(dataset: Dataset, keyword: str) -> int:
    """The value as a whole number, 0 where there is none."""
    try:
        return int(value_of(dataset, keyword) or 0)
    except (TypeError, ValueError, OverflowError):
        return 0


def numbers_of(dataset: Dataset, keyword: str) -> list[float]:
    """The values as numbers; none if one of them is not a finite number."""
    try:
        numbers = [float(part) for part in text_of(dataset, keyword).split("\\") if part]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence."""
    value = value_of(dataset, keyword)
    return list(value) if type(value).__name__ == "Sequence" else []
