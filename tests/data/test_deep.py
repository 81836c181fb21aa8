"""Pictures of more than 8 bits outside DICOM, transparency of grey, and what cannot be read."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from medistill.data.image import decode_deep, decode_image, decode_stored, grey_array, stored_image
from medistill.errors import MedistillError
from tests.data.test_plain import chunk
from tests.dicoms import dicom

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
ROWS, COLUMNS = np.mgrid[:20, :30]
TWELVE = (ROWS * 150 + COLUMNS * 40).astype(np.uint16)
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png(samples, color, *, depth=16, interlaced=False, chunks=()):
    """A PNG of (h, w) or (h, w, c) samples; of fewer than 8 bits they are packed."""
    height, width = samples.shape[:2]
    parts = [samples[top::down, left::right] for top, left, down, right in ADAM7] if interlaced else [samples]
    raw = b"".join(b"\0" + packed_row(row, depth) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    named = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in named)


def packed_row(row, depth):
    if depth >= 8:
        return row.astype(f">u{depth // 8}").tobytes()
    bits = row[:, None] >> np.arange(depth)[::-1] & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def as_layers(grey, color, opaque=65535):
    layers = [grey] * {GREY: 1, GREY_ALPHA: 1, RGB: 3, RGB_ALPHA: 3}[color]
    return np.stack(layers + [np.full_like(grey, opaque)] * (color in (GREY_ALPHA, RGB_ALPHA)), axis=-1)


def by_dicom(grey):
    """As the same values in a DICOM file without a window are shown."""
    return decode_image(dicom(grey.astype(np.uint16)))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("color", [GREY, RGB, GREY_ALPHA, RGB_ALPHA])
def test_deep_pictures_are_scaled_as_dicom_is(color, interlaced):
    spots = TWELVE.copy()
    spots[0, 0] = 65535  # one dead pixel of 600 does not darken the rest
    for grey in (TWELVE, spots):
        shown = decode_image(png(as_layers(grey, color), color, interlaced=interlaced))
        assert np.abs(shown.astype(int) - by_dicom(grey)).max() <= 1
        assert shown.max() == 255


@pytest.mark.parametrize("color", [GREY_ALPHA, RGB_ALPHA])
def test_alpha_of_twelve_bits_is_opaque_at_its_top(color):
    shown = decode_image(png(as_layers(TWELVE, color, opaque=4095), color))
    assert np.abs(shown.astype(int) - by_dicom(TWELVE)).max() <= 1


@pytest.mark.parametrize("color", [GREY_ALPHA, RGB_ALPHA])
def test_what_is_transparent_in_a_deep_picture_is_black_and_moves_no_percentile(color):
    layers = as_layers(TWELVE, color)
    framed = np.pad(layers, ((5, 5), (5, 5), (0, 0)), constant_values=60_000)
    framed[:5, :, -1] = framed[-5:, :, -1] = framed[:, :5, -1] = framed[:, -5:, -1] = 0
    shown = decode_image(png(framed, color))
    np.testing.assert_array_equal(shown[5:-5, 5:-5], decode_image(png(layers, color)))
    shown[5:-5, 5:-5] = 0
    assert not shown.any()


def test_half_of_alpha_is_half_of_the_brightness():
    layers = as_layers(TWELVE, RGB_ALPHA)
    layers[::2, :, -1] = 32768
    shown, plain = decode_image(png(layers, RGB_ALPHA)).astype(int), by_dicom(TWELVE).astype(int)
    assert np.abs(shown[::2] - plain[::2] / 2).max() <= 1
    assert np.abs(shown[1::2] - plain[1::2]).max() <= 1


def test_deep_color_becomes_luma():
    layers = np.stack([TWELVE, TWELVE // 2, TWELVE[::-1]], axis=-1)
    luma = np.rint(layers @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(decode_image(png(layers, RGB)).astype(int) - by_dicom(luma)).max() <= 1


@pytest.mark.parametrize("color", [GREY, RGB, GREY_ALPHA, RGB_ALPHA])
def test_at_sixteen_bits_a_corpus_keeps_all_of_a_deep_picture(color):
    stored = stored_image(png(as_layers(TWELVE, color), color), depth=16)
    values = decode_deep(stored)
    assert values is not None
    assert len(np.unique(values)) > 350  # of 361 that the picture has
    np.testing.assert_array_equal(decode_stored(stored), decode_image(png(as_layers(TWELVE, color), color)))


def test_a_deep_picture_is_turned_upright(encoded):
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    data = png(as_layers(TWELVE, RGB), RGB, chunks=[(b"eXIf", block)])
    np.testing.assert_array_equal(
        decode_image(data), np.rot90(decode_image(png(as_layers(TWELVE, RGB), RGB)), -1)
    )


def test_floating_point_values_that_are_none_are_black():
    values = TWELVE.astype(np.float32)
    values[3] = np.nan
    values[4] = np.inf
    shown = grey_array(Image.fromarray(values))
    assert not shown[3:5].any()
    assert shown.max() == 255


@pytest.mark.parametrize("key", [0, 1, 3])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_black_at_every_depth(depth, key):
    top = (1 << depth) - 1
    key = min(key, top) if key < 3 else top
    samples = (np.arange(600).reshape(20, 30) * (997 if depth == 16 else 1) % (top + 1)).astype(np.uint16)
    samples[0, 0] = key
    data = png(samples, GREY, depth=depth, chunks=[(b"tRNS", struct.pack(">H", key))])
    shown = decode_image(data)
    assert not shown[samples == key].any()
    plain = decode_image(png(samples, GREY, depth=depth))
    opaque = samples != key
    assert np.abs(shown[opaque].astype(int) - plain[opaque]).max() <= (2 if depth == 16 else 0)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_color_is_black(depth):
    layers = np.stack([TWELVE, TWELVE + 1, TWELVE + 2], axis=-1) & (1 << depth) - 1
    key = layers[7, 7]
    data = png(layers, RGB, depth=depth, chunks=[(b"tRNS", key.astype(">u2").tobytes())])
    assert decode_image(data)[7, 7] == 0
    assert decode_image(png(layers, RGB, depth=depth))[7, 7] > 0


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_indexed_color_without_a_palette_is_refused_by_name(depth):
    with pytest.raises(MedistillError, match="indexed color without a palette"):
        stored_image(png(np.zeros((3, 3), np.uint8), PALETTE, depth=depth))


def jpeg_of(marker, bits):
    """The beginning of a JPEG file of that kind, and no more."""
    frame = bytes([0xFF, marker, 0, 11, bits, 0, 8, 0, 8, 1, 1, 0x11, 0])
    return b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + frame + b"\xff\xd9"


@pytest.mark.parametrize(
    ("marker", "bits", "words"),
    [
        (0xC1, 12, "JPEG image of 12 bits"),
        (0xC0, 12, "JPEG image of 12 bits"),
        (0xC2, 12, "JPEG image of 12 bits"),
        (0xC3, 8, "lossless JPEG image of 8 bits"),
        (0xC3, 16, "lossless JPEG image of 16 bits"),
        (0xF7, 8, "JPEG-LS image of 8 bits"),
        (0xC5, 8, "hierarchical JPEG image"),
        (0xC9, 12, "arithmetic coding image of 12 bits"),
    ],
)
def test_a_jpeg_that_cannot_be_decoded_here_is_not_called_broken(marker, bits, words):
    with pytest.raises(MedistillError, match=f"{words}.*cannot be decoded here") as error:
        decode_image(jpeg_of(marker, bits))
    assert "broken" not in str(error.value)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"\xff\x4f\xff\x51\0\x2f", "a JPEG 2000 image"),
        (b"II+\0\x08\0\0\0", "a TIFF image"),
        (b"\0\0\0\x20ftypavif", "a HEIC or AVIF image"),
    ],
)
def test_other_formats_are_named(start, kind):
    with pytest.raises(MedistillError, match=f"not a PNG, JPEG or DICOM image but {kind}"):
        decode_image(start + bytes(200))


def test_warnings_of_pillow_are_kept_from_the_terminal(encoded):
    palette = Image.new("P", (2, 1))
    palette.putpalette([50, 50, 50, 90, 90, 90])
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 9, 0x11A, 5, 1, 900)  # more entries said than there are
    jpeg = encoded(np.zeros((8, 8), np.uint8), "JPEG")
    jpeg = jpeg[:2] + b"\xff\xe1" + (len(tiff) + 8).to_bytes(2) + b"Exif\0\0" + tiff + jpeg[20:]
    no_frames = png(np.zeros((8, 8), np.uint8), GREY, depth=8, chunks=[(b"acTL", bytes(8))])
    files = [encoded(palette, transparency=b"\xff\x00"), jpeg, no_frames]
    with warnings.catch_warnings(action="error"):
        for file in files:
            decode_image(file)
            stored_image(file)
            decode_stored(file)


def test_memory_that_ends_is_not_called_damage(encoded, monkeypatch):
    def none_left(*_arguments):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", none_left)
    with pytest.raises(MedistillError, match="more memory"):
        decode_image(encoded(np.zeros((8, 8), np.uint8)))
