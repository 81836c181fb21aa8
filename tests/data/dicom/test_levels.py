import numpy as np
import pytest

from medistill.data.dicom import dicom_images
from medistill.data.dicom.levels import dicom_levels
from tests.dicoms import dicom

LIMIT = 10_000
STORED = np.arange(24, dtype=np.uint16).reshape(4, 6) * 100


def levels(pixels=STORED, **changes):
    return dicom_levels(dicom(pixels, **changes), max_pixels=LIMIT)


def test_levels_are_what_the_file_stores():
    found = levels(BitsStored=12)
    np.testing.assert_array_equal(found.values, STORED)
    assert (found.bits, found.window) == (12, None)


def test_the_first_window_is_told():
    found = levels(BitsStored=12, WindowCenter=[1000, 5], WindowWidth=[400, 9])
    assert found.window == (1000, 400)


def test_negative_values_of_the_modality_lut_are_raised_and_the_window_with_them():
    found = levels(BitsStored=12, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    np.testing.assert_array_equal(found.values, STORED)  # -1024 is the lowest there can be
    assert found.window == (1064, 400)


def test_signed_values_keep_their_order():
    found = levels(STORED.astype(np.int16) - 1000, PixelRepresentation=1, WindowCenter=0, WindowWidth=100)
    np.testing.assert_array_equal(found.values.astype(int), STORED.astype(int) - 1000 + 32768)
    assert found.window == (32768, 100)


def test_an_inverted_image_is_turned_round():
    found = levels(BitsStored=12, PhotometricInterpretation="MONOCHROME1", WindowCenter=95, WindowWidth=400)
    np.testing.assert_array_equal(found.values, 4095 - STORED)
    assert found.window == (4000, 400)


def test_a_slope_that_16_bits_cannot_hold_is_stretched_to_them():
    steep = levels(BitsStored=12, RescaleSlope=100, RescaleIntercept=0, WindowCenter=204750, WindowWidth=4095)
    np.testing.assert_allclose(steep.values, STORED * (65535 / 4095), atol=1)
    assert steep.window == pytest.approx((65535 / 2, 655.35))
    flat = levels(BitsStored=12, RescaleSlope=0.001, RescaleIntercept=0)
    np.testing.assert_allclose(flat.values, STORED * (65535 / 4095), atol=1)


def test_padding_is_black():
    pixels = STORED.copy()
    pixels[0, :3] = 4000
    found = levels(pixels, BitsStored=12, PixelPaddingValue=4000)
    assert found.values[0, :3].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(found.values[1:], STORED[1:])


def test_color_becomes_8_bit_luma():
    colors = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    found = levels(colors)
    expected = next(dicom_images(dicom(colors), max_pixels=LIMIT)).grey >> 8
    np.testing.assert_array_equal(found.values, expected)
    assert (found.bits, found.window) == (8, None)


def test_seen_through_its_window_it_is_what_the_model_sees():
    data = dicom(STORED, BitsStored=12, WindowCenter=1000, WindowWidth=800)
    found = dicom_levels(data, max_pixels=LIMIT)
    center, width = found.window or (0, 0)
    shown = np.clip((found.values - center) / width + 0.5, 0, 1) * 65535
    grey = next(dicom_images(data, max_pixels=LIMIT)).grey
    np.testing.assert_allclose(shown, grey, atol=150)  # the standard's window is half a value off the middle
