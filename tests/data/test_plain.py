"""Nothing but pixels is stored: one test per place where an image file can hide something else."""

import zlib

import numpy as np
import pytest

from medistill.data.image import decode_image, stored_image

NAME = b"Jane Doe"
IEND = b"\0\0\0\0IEND\xaeB`\x82"


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2) + data


def before(file: bytes, place: bytes, added: bytes) -> bytes:
    start = file.rindex(place)
    return file[:start] + added + file[start:]


def is_clean(file: bytes) -> bool:
    """The name is in the file, not in what is stored of it, and the pixels are the same."""
    assert NAME in file or zlib.compress(NAME)[2:-5] in file
    stored = stored_image(file)
    np.testing.assert_array_equal(decode_image(stored), decode_image(file))
    return stored.startswith(b"\x89PNG") and stored != file and NAME not in stored


@pytest.fixture(scope="module")
def png(grey, encoded):
    return encoded(grey)


@pytest.fixture(scope="module")
def jpeg(grey, encoded):
    return encoded(grey, "JPEG")


@pytest.mark.parametrize("name", [b"tIME", b"sPLT", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"pHYs", b"xyZw"])
def test_a_png_chunk_beside_the_pixels_is_not_stored(png, name):
    data = {b"tIME": b"\0" * 7, b"pHYs": b"\0" * 9, b"eXIf": b"II*\0\x08\0\0\0\0\0"}.get(
        name, b"a" + b"\0" * 5
    )
    stored = stored_image(before(png, IEND, chunk(name, data)))
    assert name not in stored


@pytest.mark.parametrize("name", [b"sPLT", b"xyZw", b"abCd"])
def test_what_a_png_chunk_says_is_not_stored(png, name):
    assert is_clean(before(png, IEND, chunk(name, NAME)))


def test_bytes_after_the_end_of_a_png_are_not_stored(png):
    assert is_clean(png + NAME)


def test_chunks_after_the_end_of_a_png_are_not_stored(png):
    assert is_clean(png + chunk(b"teXt", NAME) + IEND)


def test_bytes_after_the_last_pixel_of_a_png_are_not_stored(png):
    assert is_clean(before(png, IEND, chunk(b"IDAT", NAME)))


def test_lines_below_the_last_row_of_a_png_are_not_stored(png, grey):
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in grey) + NAME, level=0)
    start, end = png.index(b"IDAT") - 4, png.rindex(IEND)
    assert is_clean(png[:start] + chunk(b"IDAT", rows) + png[end:])


def test_a_png_in_several_pieces_is_stored_byte_for_byte(png):
    start, end = png.index(b"IDAT") + 4, png.rindex(IEND)
    pixels = png[start : end - 4]
    pieces = chunk(b"IDAT", pixels[:9]) + chunk(b"IDAT", pixels[9:])
    split = png[: start - 8] + pieces + IEND
    assert stored_image(split) == split


def test_bytes_after_the_end_of_a_jpeg_are_not_stored(jpeg):
    assert is_clean(jpeg + NAME)


def test_a_second_image_after_the_end_of_a_jpeg_is_not_stored(jpeg):
    assert is_clean(jpeg + NAME + jpeg)


@pytest.mark.parametrize("place", [b"\xff\xdb", b"\xff\xda", b"\xff\xd9"], ids=["tables", "scan", "end"])
@pytest.mark.parametrize("marker", [0xFE, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF])
def test_a_jpeg_segment_beside_the_pixels_is_not_stored(jpeg, place, marker):
    assert is_clean(before(jpeg, place, segment(marker, NAME)))


def test_the_thumbnail_of_a_jpeg_is_not_stored(jpeg):
    assert is_clean(before(jpeg, b"\xff\xdb", segment(0xE0, b"JFXX\0\x10" + NAME)))
    start = jpeg.index(b"JFIF")
    header = jpeg[start : start + 12] + b"\x01\x03" + NAME + b"!"
    assert is_clean(jpeg[: start - 4] + segment(0xE0, header) + jpeg[start + 14 :])


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 1}, {"dpi": (72, 72)}]
)
def test_a_plain_jpeg_of_any_kind_is_stored_byte_for_byte(grey, encoded, options):
    file = encoded(grey, "JPEG", **options)
    assert stored_image(file) == file


def test_a_plain_jpeg_with_the_mark_of_its_encoder_is_stored_byte_for_byte(jpeg):
    file = before(jpeg, b"\xff\xdb", segment(0xEE, b"Adobe\0\x64" + b"\0" * 5))
    assert stored_image(file) == file
