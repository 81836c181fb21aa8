"""What kind of file bytes are, by how they begin."""

import re
import struct

LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
"""DICOM value representations whose length takes four bytes, behind two that are empty."""
_SHORT = re.compile(rb"AE|AS|AT|CS|D[AST]|F[DL]|IS|LO|LT|PN|S[HLST]|TM|U[ILS]")
_BLANK = b"\xef\xbb\xbf \t\r\n"
_KNOWN = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML file"),
    (b"%pdf-", "a PDF"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"gif8", "a GIF image"),
    (b"ii*\0", "a TIFF image"),
    (b"mm\0*", "a TIFF image"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file it stands for"),
)


def is_dicom(start: bytes) -> bool:
    """Whether bytes begin like a DICOM file: with the preamble, or without it by its first element."""
    if start[128:132] == b"DICM":
        return True
    group, kind = start[:2], start[4:6]
    if len(start) < 8 or group not in (b"\x02\0", b"\x08\0", b"\0\x08"):
        return False
    if kind in LONG or _SHORT.fullmatch(kind):
        return True
    length = struct.unpack("<I", start[4:8])[0]
    return group != b"\0\x08" and length < 1024 and length % 2 == 0


def known_kind(start: bytes) -> str | None:
    """A name for what is often saved under the name of an image; None for what is not known."""
    begins = start[:64].lstrip(_BLANK).lower()
    return next((name for mark, name in _KNOWN if begins.startswith(mark)), None)
