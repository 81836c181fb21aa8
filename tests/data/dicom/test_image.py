import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from medistill.data.dicom import decode_dicom, dicom_images
from medistill.data.image import decode_image, decode_stored, stored_image
from medistill.errors import MedistillError
from tests.dicoms import LOSSLESS, NATIVE, dicom, item

LIMIT = 10_000_000


def decode(data, **options):
    return decode_dicom(data, **({"max_pixels": LIMIT} | options))


def deep(data, **options):
    return next(dicom_images(data, **({"max_pixels": LIMIT} | options))).grey


def refused(data, **options):
    with pytest.raises(MedistillError) as error:
        decode(data, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def ct():
    """12 bits of noise that fills its range."""
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 36)).astype(np.uint16)
    pixels[0, :2] = 0, 4095
    return pixels


WHOLE = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}


def linear(x, center, width):
    """PS3.3 C.11.2.1.2.1, a pixel at a time."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if x > center - 0.5 + (width - 1) / 2:
        return 1.0
    return (x - (center - 0.5)) / (width - 1) + 0.5


def levels(pixels, brightness):
    """16-bit grey of each pixel by a function of one value."""
    grey = [math.floor(65535 * min(max(brightness(float(x)), 0), 1) + 0.5) for x in pixels.ravel()]
    return np.array(grey, np.uint16).reshape(pixels.shape)


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS], ids=lambda uid: uid.name)
def test_every_lossless_transfer_syntax_gives_the_same_image(ct, syntax):
    expected = levels(ct, lambda x: linear(x, 2048, 4096))
    np.testing.assert_array_equal(deep(dicom(ct, syntax=syntax, **WHOLE)), expected)


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS], ids=lambda uid: uid.name)
def test_signed_values_survive_every_lossless_transfer_syntax(ct, syntax):
    signed = ct.astype(np.int16) - 2048
    window = WHOLE | {"WindowCenter": 0}
    expected = levels(signed, lambda x: linear(x, 0, 4096))
    np.testing.assert_array_equal(deep(dicom(signed, syntax=syntax, **window)), expected)


def test_8_bit_grey_without_a_window_is_left_as_it_is(grey):
    np.testing.assert_array_equal(decode(dicom(grey)), grey)


def test_baseline_jpeg_decodes_as_pillow_does(grey):
    data = dicom(grey, syntax=JPEGBaseline8Bit)
    start = data.index(b"\xff\xd8\xff")
    np.testing.assert_array_equal(decode(data), decode_image(data[start:]))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, NATIVE[0], NATIVE[2]], ids=lambda uid: uid.name)
def test_a_file_without_preamble_is_read_as_it_starts(ct, syntax):
    whole, bare = (dicom(ct, syntax=syntax, preamble=preamble, **WHOLE) for preamble in (True, False))
    assert b"DICM" not in bare
    np.testing.assert_array_equal(decode(bare), decode(whole))


@pytest.mark.parametrize(("center", "width"), [(1000, 500), (40.5, 1), (0, 3000), (2000, 2)])
def test_a_linear_window_follows_the_standard(ct, center, width):
    found = next(dicom_images(dicom(ct, WindowCenter=center, WindowWidth=width), max_pixels=LIMIT))
    np.testing.assert_array_equal(found.grey, levels(ct, lambda x: linear(x, center, width)))
    assert found.warnings == 0


def test_an_exact_window_follows_the_standard(ct):
    data = dicom(ct, WindowCenter=900, WindowWidth=700, VOILUTFunction="LINEAR_EXACT")
    np.testing.assert_array_equal(deep(data), levels(ct, lambda x: (x - 900) / 700 + 0.5))


def test_a_sigmoid_window_follows_the_standard(ct):
    data = dicom(ct, WindowCenter=900, WindowWidth=700, VOILUTFunction="SIGMOID")
    np.testing.assert_array_equal(deep(data), levels(ct, lambda x: 1 / (1 + math.exp(-4 * (x - 900) / 700))))


def test_the_window_sees_rescaled_values(ct):
    data = dicom(ct, RescaleSlope=0.5, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    np.testing.assert_array_equal(deep(data), levels(ct, lambda x: linear(0.5 * x - 1024, 40, 400)))


def test_the_first_of_several_windows_is_taken_or_the_one_that_is_named(ct):
    names = {"WindowCenterWidthExplanation": ["LUNG", "BONE"]}
    data = dicom(ct, WindowCenter=[1000, 3000], WindowWidth=[200, 900], **names)
    np.testing.assert_array_equal(deep(data), levels(ct, lambda x: linear(x, 1000, 200)))
    np.testing.assert_array_equal(deep(data, window="bone"), levels(ct, lambda x: linear(x, 3000, 900)))
    assert "no window of the name" in refused(data, window="brain")


def test_a_window_that_cannot_be_one_is_passed_over(ct):
    broken = dicom(ct, BitsStored=12, WindowCenter=[5, 1000], WindowWidth=[0, 200])
    np.testing.assert_array_equal(deep(broken), levels(ct, lambda x: linear(x, 1000, 200)))


def test_without_a_window_the_stated_percentiles_become_black_and_white(ct):
    ordered = sorted(ct.ravel().tolist())
    low, high = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.005, 0.995))
    np.testing.assert_array_equal(
        deep(dicom(ct, BitsStored=12)), levels(ct, lambda x: (x - low) / (high - low))
    )


def lut(first, entries, bits, vr="US"):
    """A sequence of one table, its data as numbers."""
    table = Dataset()
    table.add_new("LUTDescriptor", vr, [len(entries) & 0xFFFF, first, bits])
    table.add_new("LUTData", "US", list(entries))
    return [table]


def test_a_voi_lut_is_looked_up_and_its_ends_hold_beyond_it(ct):
    entries = [(7 * i * i) % 4096 for i in range(1000)]
    entries[5] = 4095
    data = dicom(ct, BitsStored=12, VOILUTSequence=lut(500, entries, 12))
    expected = levels(ct, lambda x: entries[int(min(max(x - 500, 0), 999))] / 4095)
    np.testing.assert_array_equal(deep(data), expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_lut_may_come_as_bytes(bits):
    pixels, entries = np.arange(200, dtype=np.uint8).reshape(10, 20), np.arange(256)[::-1] ** (bits // 8)
    table = lut(0, entries.tolist(), bits)
    table[0].add_new("LUTData", "OW", entries.astype(f"<u{bits // 8}").tobytes())
    expected = levels(pixels, lambda x: entries[int(x)] / (2 ** int(entries.max()).bit_length() - 1))
    np.testing.assert_array_equal(deep(dicom(pixels, VOILUTSequence=table)), expected)


def test_a_voi_lut_of_fewer_bits_than_it_says_still_reaches_white(ct):
    entries = list(range(4096))
    said = [deep(dicom(ct, BitsStored=12, VOILUTSequence=lut(0, entries, bits))) for bits in (12, 16)]
    np.testing.assert_array_equal(said[0], said[1])


@pytest.mark.parametrize(
    ("offset", "first", "start"), [(0x9000, 0x9000, 0x9000), (-1024, 0x10000 - 1024, -1024)]
)
def test_a_voi_lut_starts_below_zero_only_where_its_values_can(ct, offset, first, start):
    entries = [i * 16 for i in range(4096)]
    rescale = {"RescaleSlope": 1, "RescaleIntercept": offset}
    data = dicom(ct, BitsStored=12, VOILUTSequence=lut(first, entries, 16), **rescale)
    expected = levels(ct, lambda x: entries[int(x) + offset - start] / 65535)
    np.testing.assert_array_equal(deep(data), expected)


def test_a_modality_lut_comes_before_the_window(ct):
    entries = [(i * 37) % 3000 for i in range(4096)]
    data = dicom(ct, BitsStored=12, ModalityLUTSequence=lut(0, entries, 16), WindowCenter=800, WindowWidth=99)
    expected = levels(ct, lambda x: linear(entries[int(x)], 800, 99))
    np.testing.assert_array_equal(deep(data), expected)


@pytest.mark.parametrize(("first", "vr"), [(-2048, "SS"), (0x10000 - 2048, "US")])
def test_a_modality_lut_of_signed_values_starts_below_zero_whatever_it_is_written_as(ct, first, vr):
    signed, entries = ct.astype(np.int16) - 2048, [i * 2 for i in range(4096)]
    data = dicom(
        signed, BitsStored=12, ModalityLUTSequence=lut(first, entries, 16, vr), WindowCenter=9, WindowWidth=99
    )
    expected = levels(signed, lambda x: linear(entries[int(x) + 2048], 9, 99))
    np.testing.assert_array_equal(deep(data), expected)


INVERSIONS = [
    ("MONOCHROME2", None, False),
    ("MONOCHROME2", "IDENTITY", False),
    ("MONOCHROME2", "INVERSE", True),
    ("MONOCHROME1", None, True),
    ("MONOCHROME1", "INVERSE", True),
]


@pytest.mark.parametrize(("space", "shape", "inverts"), INVERSIONS)
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1000, "WindowWidth": 1500}])
def test_an_image_is_inverted_once_if_at_all(ct, space, shape, inverts, window):
    plain = decode(dicom(ct, BitsStored=12, **window))
    changes = {"PhotometricInterpretation": space, "PresentationLUTShape": shape}
    found = decode(dicom(ct, BitsStored=12, **window, **changes))
    np.testing.assert_array_equal(found, 255 - plain if inverts else plain)


@pytest.mark.parametrize("space", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_moves_no_percentile(ct, space):
    changes = {"BitsStored": 12, "PhotometricInterpretation": space}
    inner = np.clip(ct, 1000, 1100)
    padded = np.pad(inner, 8, constant_values=4000)
    found = decode(dicom(padded, PixelPaddingValue=4000, **changes))
    np.testing.assert_array_equal(found[8:-8, 8:-8], decode(dicom(inner, **changes)))
    found[8:-8, 8:-8] = 0
    assert not found.any()


def test_padding_may_be_a_range(ct):
    data = dicom(ct, PixelPaddingValue=0, PixelPaddingRangeLimit=1500, **WHOLE)
    expected = np.where(ct <= 1500, 0, decode(dicom(ct, **WHOLE)))
    np.testing.assert_array_equal(decode(data), expected)


def test_signed_padding_is_known_by_its_bits():
    pixels = np.array([[-2000, -2000, 0], [100, 400, 1000]], np.int16)
    data = bytearray(dicom(pixels, PixelPaddingValue=-2000, WindowCenter=0, WindowWidth=5000))
    place = data.index(b"\x28\0\x20\x01SS")
    data[place + 4 : place + 6] = b"US"  # as many writers have it
    np.testing.assert_array_equal(decode(bytes(data)) > 0, pixels > -2000)


def test_padding_in_bits_above_those_stored_is_found(ct):
    pixels = ct.copy()
    pixels[:4] = 0x8000
    white = WHOLE | {"PhotometricInterpretation": "MONOCHROME1"}  # what is not masked
    found = decode(dicom(pixels, PixelPaddingValue=0x8000, **white))
    assert not found[:4].any()
    np.testing.assert_array_equal(found[4:], decode(dicom(ct, **white))[4:])


def test_an_image_of_nothing_but_padding_is_refused(grey):
    assert "every pixel is padding" in refused(dicom(np.full_like(grey, 9), PixelPaddingValue=9))


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_are_cleared(ct, signed):
    overlay = np.random.default_rng(1).integers(0, 16, ct.shape).astype(np.uint16) << 12
    clean = ct.astype(np.int16)
    if signed:
        clean = np.where(clean >= 2048, clean - 4096, clean).astype(np.int16)
    kind = clean.dtype if signed else np.uint16
    window = {"BitsStored": 12, "WindowCenter": 0 if signed else 2048, "WindowWidth": 4096}
    dirty = (ct | overlay).view(kind)
    np.testing.assert_array_equal(decode(dicom(dirty, **window)), decode(dicom(clean.astype(kind), **window)))


def test_values_stored_at_the_top_of_their_container_are_brought_down(ct):
    found = decode(dicom(ct << 4, HighBit=15, **WHOLE))
    np.testing.assert_array_equal(found, decode(dicom(ct, **WHOLE)))


def test_rgb_becomes_luma_as_in_other_files(encoded):
    color = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(dicom(color)), decode_image(encoded(color)))
    planes = np.ascontiguousarray(color.transpose(2, 0, 1)).reshape(9, 7, 3)
    np.testing.assert_array_equal(decode(dicom(planes, PlanarConfiguration=1)), decode_image(encoded(color)))


def test_ybr_becomes_luma():
    grey = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)
    ybr = np.stack([grey, np.full_like(grey, 128), np.full_like(grey, 128)], axis=-1)
    np.testing.assert_array_equal(decode(dicom(ybr, PhotometricInterpretation="YBR_FULL")), grey)


def test_color_jpeg_becomes_luma():
    rows, columns = np.mgrid[:48, :64]
    color = np.stack([rows * 5, columns * 3, rows + columns], axis=-1).astype(np.uint8)
    data = dicom(color, syntax=JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422")
    luma = color @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode(data) - luma).max() <= 4


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_looked_up(grey, bits):
    table = np.random.default_rng(0).integers(0, 1 << bits, (3, 256)).astype(f"u{bits // 8}")
    names = ("Red", "Green", "Blue")
    palette = {
        f"{name}PaletteColorLookupTableData": row.tobytes() for name, row in zip(names, table, strict=True)
    }
    palette |= {f"{name}PaletteColorLookupTableDescriptor": [256, 0, bits] for name in names}
    found = decode(dicom(grey, PhotometricInterpretation="PALETTE COLOR", **palette))
    expected = np.array([0.299, 0.587, 0.114]) @ table[:, grey.ravel()] / ((1 << bits) - 1) * 255
    assert np.abs(found.ravel() - expected).max() <= 1


def test_of_several_frames_the_middle_one_is_taken_or_the_one_that_is_named():
    film = np.stack([np.full((4, 6), 40 * number, np.uint8) for number in range(5)])
    assert decode(dicom(film))[0, 0] == 80
    assert decode(dicom(film), frames=5)[0, 0] == 160
    frames = [image.grey[0, 0] >> 8 for image in dicom_images(dicom(film), max_pixels=LIMIT, frames="all")]
    assert frames == [0, 40, 80, 120, 160]
    assert "not one of number 6" in refused(dicom(film), frames=6)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_frames_are_told_apart_when_compressed(ct, syntax):
    film = np.stack([ct, ct[::-1], ct[:, ::-1]])
    data = dicom(film, syntax=syntax, **WHOLE)
    np.testing.assert_array_equal(decode(data, frames=3), decode(dicom(ct, **WHOLE))[:, ::-1])


def test_a_frame_has_its_own_window_and_scale(ct):
    def group(center, slope):
        return item(
            FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=200)],
            PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0)],
        )

    groups = {"PerFrameFunctionalGroupsSequence": [group(100, 1), group(900, 2)]}
    data = dicom(np.stack([ct, ct]), **groups)
    np.testing.assert_array_equal(deep(data, frames=1), levels(ct, lambda x: linear(x, 100, 200)))
    np.testing.assert_array_equal(deep(data, frames=2), levels(ct, lambda x: linear(2 * x, 900, 200)))


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"PixelAspectRatio": [2, 1]}, (24, 16)),
        ({"PixelAspectRatio": [1, 2], "PixelSpacing": [1, 1]}, (12, 32)),
        ({"PixelSpacing": [0.3, 0.2]}, (18, 16)),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, (12, 32)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]}, (24, 16)),
        ({"PixelSpacing": [0.2, 0.2001]}, (12, 16)),
        ({"PixelSpacing": [1, 500]}, (12, 16)),
    ],
)
def test_pixels_become_square(grey, changes, shape):
    assert decode(dicom(grey, **changes)).shape == shape


def test_an_image_that_squaring_makes_too_large_is_refused(grey):
    wide = dicom(grey, PixelAspectRatio=[2, 1])
    assert "too large with square pixels" in refused(wide, max_pixels=grey.size + 1)


def test_the_upper_byte_of_the_deep_image_is_the_8_bit_one(ct):
    data = dicom(ct, **WHOLE)
    assert len(np.unique(deep(data))) == len(np.unique(ct)) > 256
    np.testing.assert_array_equal(deep(data) >> 8, decode(data))


@pytest.mark.parametrize("size", [None, 16])
@pytest.mark.parametrize("space", ["MONOCHROME1", "MONOCHROME2"])
def test_a_corpus_of_16_bits_shows_what_one_of_8_bits_would(ct, size, space):
    data = dicom(ct, PhotometricInterpretation=space, WindowCenter=700, WindowWidth=9000)
    kept, plain = (stored_image(data, size=size, depth=depth) for depth in (16, 8))
    assert kept[24] == 16  # the bit depth in the header of a PNG
    assert plain[24] == 8
    np.testing.assert_array_equal(decode_stored(kept), decode_stored(plain))


def test_a_16_bit_png_keeps_its_bits_and_its_grey(encoded):
    png = encoded(np.random.default_rng(0).integers(300, 9000, (20, 30)).astype(np.uint16))
    kept = stored_image(png, depth=16)
    assert kept[24] == 16
    np.testing.assert_array_equal(decode_stored(kept), decode_image(png))
    np.testing.assert_array_equal(decode_stored(stored_image(png)), decode_image(png))


def test_8_bit_images_take_no_16(grey, encoded):
    assert stored_image(encoded(grey), depth=16) == encoded(grey)
    assert stored_image(dicom(grey), depth=16)[24] == 8


def test_a_dicom_file_is_an_image_file_like_others(grey):
    np.testing.assert_array_equal(decode_image(dicom(grey)), grey)
    np.testing.assert_array_equal(decode_stored(stored_image(dicom(grey))), grey)
