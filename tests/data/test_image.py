import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from medistill.data.image import decode_image, encode_image, grey_array, letterbox, stored_image
from medistill.errors import MedistillError


def test_8_bit_grey_is_decoded_unchanged(grey, encoded):
    np.testing.assert_array_equal(decode_image(encoded(grey)), grey)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_every_opaque_png_mode_decodes_to_the_same_grey(grey, encoded, mode):
    palette = Image.fromarray(grey)
    if mode == "P":
        palette.putpalette([level for level in range(256) for _ in range(3)])
    np.testing.assert_array_equal(decode_image(encoded(palette.convert(mode))), grey)


def test_one_bit_png_decodes_to_black_and_white(encoded):
    bits = np.array([[True, False, True], [False, False, True]])
    np.testing.assert_array_equal(decode_image(encoded(bits)), bits * np.uint8(255))


def test_16_bit_grey_is_stretched_over_its_own_range(encoded):
    image = np.array([[1000, 1510], [1204, 2020]], np.uint16)
    np.testing.assert_array_equal(decode_image(encoded(image)), [[0, 128], [51, 255]])


def test_a_constant_16_bit_image_decodes_to_black(encoded):
    assert not decode_image(encoded(np.full((3, 3), 700, np.uint16))).any()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_jpeg_mode_decodes_to_about_the_same_grey(encoded, mode):
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (16, 1))
    jpeg = encoded(Image.fromarray(ramp).convert(mode), "JPEG", quality=95)
    assert np.abs(decode_image(jpeg).astype(int) - ramp).max() <= 8


def test_transparent_pixels_are_black(encoded):
    image = np.zeros((2, 2, 4), np.uint8)
    image[..., :3] = 200
    image[0, :, 3] = 255
    np.testing.assert_array_equal(decode_image(encoded(image)), [[200, 200], [0, 0]])


def test_a_transparent_palette_entry_is_black(encoded):
    image = Image.new("P", (2, 1))
    image.putpalette([50, 50, 50, 90, 90, 90])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode_image(encoded(image, transparency=b"\xff\x00")), [[50, 0]])


def test_exif_orientation_is_honored(grey, encoded):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: upright after a quarter turn clockwise
    np.testing.assert_array_equal(decode_image(encoded(grey, exif=exif)), np.rot90(grey, -1))


def test_broken_exif_leaves_the_image_as_it_lies(grey, encoded):
    jpeg = encoded(grey, "JPEG")
    broken = jpeg[:2] + b"\xff\xe1\0\x0fExif\0\0garbage" + jpeg[2:]
    np.testing.assert_array_equal(decode_image(broken), decode_image(jpeg))


def test_floating_point_grey_is_stretched_over_its_own_range():
    image = Image.fromarray(np.array([[0.25, 0.5], [0.75, 0.25]], np.float32))
    np.testing.assert_array_equal(grey_array(image), [[0, 128], [255, 0]])


def test_a_truncated_jpeg_is_refused(encoded):
    jpeg = encoded(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8), "JPEG")
    with pytest.raises(MedistillError, match="broken JPEG image: truncated"):
        decode_image(jpeg[: len(jpeg) // 2])


@pytest.mark.parametrize("kept", [20, 60, -30])
def test_a_truncated_png_is_refused(encoded, kept):
    png = encoded(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    with pytest.raises(MedistillError, match="broken PNG image"):
        decode_image(png[:kept])


def test_a_text_file_is_refused():
    with pytest.raises(MedistillError, match="not a PNG, JPEG or DICOM image"):
        decode_image(b"study,text\n1,clear lungs\n")


def test_an_empty_file_is_refused():
    with pytest.raises(MedistillError, match="the file is empty"):
        decode_image(b"")


def test_another_image_format_is_refused(grey, encoded):
    with pytest.raises(MedistillError, match="not a PNG, JPEG or DICOM image"):
        decode_image(encoded(grey, "BMP"))


def test_an_animated_png_is_refused(grey, encoded):
    film = encoded(grey, save_all=True, append_images=[Image.fromarray(grey[::-1].copy())])
    with pytest.raises(MedistillError, match="animated PNG"):
        decode_image(film)


def png_header(width, height):
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b"")]
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_an_image_over_the_limit_is_refused_from_its_header():
    huge = png_header(30_000, 30_000)
    with pytest.raises(
        MedistillError, match=r"30,000 x 30,000 .* limit is 100,000,000 .*--max-pixels"
    ) as error:
        decode_image(huge)
    assert "\n" not in str(error.value)


def test_the_limit_on_pixels_can_be_raised_past_that_of_pillow(grey, encoded, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode_image(encoded(grey), max_pixels=grey.size).shape == grey.shape
    with pytest.raises(MedistillError):
        decode_image(encoded(grey), max_pixels=grey.size - 1)


@pytest.mark.parametrize("shape", [(40, 20), (20, 40), (3, 7), (200, 1)])
def test_letterbox_keeps_the_aspect_and_pads_with_black(shape):
    square = letterbox(np.full(shape, 255, np.uint8), 32)
    assert square.shape == (32, 32)
    height, width = (square.max(axis=1) > 0).sum(), (square.max(axis=0) > 0).sum()
    assert (height, width) == tuple(max(1, round(32 * side / max(shape))) for side in shape)


def test_letterbox_averages_what_it_shrinks():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert np.abs(letterbox(stripes, 16).astype(int) - 128)[:, 1:-1].max() <= 8


@pytest.mark.parametrize("image", [np.ones((8, 8), np.uint16), np.ones((8, 8)), np.ones((8, 8, 3), np.uint8)])
def test_letterbox_takes_no_array_but_8_bit_grey(image):
    with pytest.raises(ValueError, match=rf"{image.dtype} and shape \(8, 8.*2-D uint8 .*pass a PIL image"):
        letterbox(image, 8)


def test_letterbox_takes_no_image_without_pixels():
    with pytest.raises(ValueError, match=r"shape \(0, 8\)"):
        letterbox(np.ones((0, 8), np.uint8), 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_plain_grey_file_is_stored_byte_for_byte(grey, encoded, kind):
    assert stored_image(encoded(grey, kind)) == encoded(grey, kind)


def test_stored_images_carry_no_metadata(grey, encoded):
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"
    for file in (
        encoded(grey, "JPEG", exif=exif),
        encoded(grey, exif=exif),
        encoded(grey, "JPEG", comment="Jane Doe"),
    ):
        assert b"Jane Doe" in file
        assert b"Jane Doe" not in stored_image(file)
        np.testing.assert_array_equal(decode_image(stored_image(file)), decode_image(file))


@pytest.mark.parametrize(("size", "start"), [(100, b"\x89PNG"), (150, b"\xff\xd8")])
def test_stored_images_are_shrunk_to_the_longer_side(encoded, size, start):
    stored = stored_image(encoded(np.zeros((300, 200), np.uint8)), size=size)
    assert decode_image(stored).shape == (size, round(size * 2 / 3))
    assert stored.startswith(start)


def test_stored_images_are_never_enlarged(grey, encoded):
    assert stored_image(encoded(grey), size=400) == encoded(grey)


def test_encoding_as_png_loses_nothing(grey):
    np.testing.assert_array_equal(decode_image(encode_image(grey)), grey)


def test_an_image_already_open_becomes_the_same_grey(grey):
    np.testing.assert_array_equal(grey_array(Image.fromarray(grey).convert("RGBA")), grey)
