"""Headers that leave out what the pixels are, or say otherwise than they do."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from medistill.data.dicom import dicom_images
from medistill.data.dicom.levels import dicom_levels
from medistill.data.dicom.stored import LOW_BITS
from medistill.data.image import kept_image
from medistill.errors import MedistillError
from tests.dicoms import LOSSLESS, NATIVE, dicom, written

ROWS, COLUMNS = np.mgrid[:32, :40]
GREY = (ROWS * 4 + COLUMNS * 3).astype(np.uint8)
TWELVE = (ROWS * 100 + COLUMNS * 20 + 1).astype(np.uint16)
COLOR = np.stack([ROWS * 7, COLUMNS * 6, ROWS + COLUMNS], axis=-1).astype(np.uint8)
SYNTAXES = (*NATIVE, *LOSSLESS, JPEGBaseline8Bit)
ABSENT = ("SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation", "BitsStored", "HighBit")


def image(data):
    return next(dicom_images(data, max_pixels=10_000_000))


def grey(data):
    return image(data).grey >> 8


def reason(data):
    with pytest.raises(MedistillError) as error:
        image(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def without(data, *keywords):
    """The file without these elements."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword in keywords:
        delattr(dataset, keyword)
    return written(dataset)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("absent", [(name,) for name in (*ABSENT, "BitsAllocated")] + [ABSENT], ids="-".join)
def test_what_a_grey_header_leaves_out_takes_its_default(absent, syntax):
    whole = dicom(GREY, syntax=syntax)
    read = image(without(whole, *absent))
    np.testing.assert_array_equal(read.grey, image(whole).grey)
    assert read.warnings > 0 or absent in (("HighBit",), ("BitsAllocated",))


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, RLELossless, JPEGBaseline8Bit], ids=lambda uid: uid.name
)
@pytest.mark.parametrize(
    "absent", [(name,) for name in (*ABSENT, "PlanarConfiguration")] + [ABSENT], ids="-".join
)
def test_what_a_color_header_leaves_out_takes_its_default(absent, syntax):
    space = "YBR_FULL_422" if syntax == JPEGBaseline8Bit else "RGB"
    whole = dicom(COLOR, syntax=syntax, PhotometricInterpretation=space)
    np.testing.assert_array_equal(image(without(whole, *absent)).grey, image(whole).grey)


def test_bits_stored_are_those_up_to_the_high_bit():
    whole = dicom(TWELVE, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(image(without(whole, "BitsStored")).grey, image(whole).grey)


def test_an_empty_element_is_an_absent_one():
    data = dicom(GREY, PhotometricInterpretation="", SamplesPerPixel=None)
    np.testing.assert_array_equal(grey(data), GREY)


@pytest.mark.parametrize(
    ("space", "inverts"),
    [("monochrome2", False), ("Monochrome1", True), ("MONOCHROME 2", False), (["MONOCHROME1", "X"], True)],
)
def test_a_photometric_interpretation_is_known_in_any_spelling(space, inverts):
    shown = grey(dicom(GREY, PhotometricInterpretation=space))
    np.testing.assert_array_equal(shown, 255 - GREY if inverts else GREY)


@pytest.mark.parametrize("space", ["rgb", "Rgb "])
def test_a_color_space_is_known_in_any_spelling(space):
    np.testing.assert_array_equal(grey(dicom(COLOR, PhotometricInterpretation=space)), grey(dicom(COLOR)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PixelRepresentation": 2}, "PixelRepresentation is 2, expected 0 or 1"),
        ({"SamplesPerPixel": 4}, "4 sample(s) a pixel"),
        ({"SamplesPerPixel": 3}, "3 sample(s) a pixel, and MONOCHROME2"),
        ({"PhotometricInterpretation": "RGB"}, "1 sample(s) a pixel, and RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette is missing"),
        ({"PhotometricInterpretation": "CMYK"}, "kind of color that is not known"),
        ({"BitsAllocated": 24}, "24 bits allocated a sample, expected 1, 8, 16 or 32"),
        ({"BitsStored": 12}, "12 bits stored in 8 allocated"),
        ({"BitsStored": 0, "HighBit": 7}, "no number of bits"),
        ({"Rows": 0}, "states no size"),
    ],
    ids=str,
)
def test_what_is_at_fault_in_a_header_is_named(changes, words):
    assert words in reason(dicom(GREY, **changes))


def test_a_planar_configuration_that_is_none_is_named():
    assert "PlanarConfiguration is 7" in reason(dicom(COLOR, PlanarConfiguration=7))


def test_floating_point_pixels_are_named_and_not_called_truncated():
    dataset = pydicom.dcmread(io.BytesIO(dicom(GREY)))
    del dataset.PixelData
    dataset.FloatPixelData = GREY.astype("<f4").tobytes()
    assert "floating-point" in reason(written(dataset))


def test_empty_pixel_data_are_named():
    dataset = pydicom.dcmread(io.BytesIO(dicom(GREY)))
    dataset.PixelData = b""
    assert "are empty" in reason(written(dataset))


def test_deeper_pixels_than_the_header_allocates_are_read_by_their_length():
    data = dicom(TWELVE, BitsAllocated=8, BitsStored=12)
    np.testing.assert_array_equal(grey(data), grey(dicom(TWELVE, BitsStored=12)))


@pytest.mark.parametrize("odd", [0, 1])
def test_twelve_bits_without_a_gap_are_unpacked(odd):
    pixels = TWELVE[: 32 - odd, : 40 - odd]
    low, high = pixels.ravel()[::2], np.append(pixels.ravel()[1::2], [0])[: -(-pixels.size // 2)]
    packed = np.stack([low & 255, low >> 8 | (high & 15) << 4, high >> 4], axis=1).astype(np.uint8).tobytes()
    dataset = pydicom.dcmread(io.BytesIO(dicom(pixels, BitsStored=12)))
    dataset.BitsAllocated = 12
    packed = packed[: -(-pixels.size * 3 // 2)]
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    del dataset.PhotometricInterpretation
    np.testing.assert_array_equal(grey(written(dataset)), grey(dicom(pixels, BitsStored=12)))


def test_a_file_of_the_time_before_dicom_is_grey():
    whole = dicom(TWELVE, syntax=ImplicitVRLittleEndian, BitsStored=12)
    dataset = pydicom.dcmread(io.BytesIO(whole))
    for keyword in ("SOPClassUID", "SOPInstanceUID", "PhotometricInterpretation", "SamplesPerPixel"):
        delattr(dataset, keyword)
    file = io.BytesIO()
    del dataset.file_meta
    pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(grey(file.getvalue()), grey(whole))


HIGH = {"BitsStored": 12, "HighBit": 15}


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
def test_values_in_the_low_bits_are_believed_and_counted(window):
    read = image(dicom(TWELVE, **HIGH, **window))
    np.testing.assert_array_equal(read.grey, image(dicom(TWELVE, BitsStored=12, **window)).grey)
    assert read.remarks == (LOW_BITS,)
    assert read.warnings > 0
    assert kept_image(dicom(TWELVE, **HIGH)).remarks == (LOW_BITS,)


def test_signed_values_in_the_low_bits_are_believed():
    signed = TWELVE.astype(np.int16) - 2048
    np.testing.assert_array_equal(grey(dicom(signed, **HIGH)), grey(dicom(signed, BitsStored=12)))


def test_ten_low_bits_under_a_high_bit_of_fifteen_are_believed():
    pixels = TWELVE >> 2
    shown = grey(dicom(pixels, BitsStored=10, HighBit=15))
    np.testing.assert_array_equal(shown, grey(dicom(pixels, BitsStored=10)))


def test_a_viewer_is_shown_the_low_bits_too():
    data = [dicom(TWELVE, BitsStored=12, HighBit=high) for high in (15, 11)]
    values = [dicom_levels(file, max_pixels=10**6).values for file in data]
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize(
    "pixels",
    [
        TWELVE << 4,
        TWELVE << 4 | 5,
        (TWELVE >> 4) << 4,
        np.where(ROWS == 0, TWELVE << 4, TWELVE).astype(np.uint16),
    ],
    ids=["aligned", "overlay below", "no low bits", "one row above"],
)
def test_the_header_is_believed_unless_the_whole_frame_says_otherwise(pixels):
    read = image(dicom(pixels, **HIGH, WindowCenter=2048, WindowWidth=4096))
    expected = image(dicom(pixels >> 4, BitsStored=12, WindowCenter=2048, WindowWidth=4096))
    np.testing.assert_array_equal(read.grey, expected.grey)
    assert not read.remarks


def test_a_header_is_read_once(monkeypatch):
    read: list[int] = []
    whole = pydicom.dcmread

    def counted(*arguments, **options):
        read.append(1)
        return whole(*arguments, **options)

    data = dicom(np.stack([GREY] * 3))
    monkeypatch.setattr(pydicom, "dcmread", counted)
    assert len(list(dicom_images(data, max_pixels=10**6, frames="all"))) == 3
    assert len(read) == 1
