"""Frames that pydicom's own plugins refuse, or that are not what the header calls them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from medistill.data.dicom import decoders, dicom_images
from medistill.data.dicom.described import DEPTH_OF_STREAM
from medistill.errors import MedistillError
from tests.dicoms import LOSSLESS, dicom

ROWS, COLUMNS = np.mgrid[:16, :24]
TWELVE = (ROWS * 160 + COLUMNS * 70).astype(np.uint16)
EIGHT = (ROWS * 10 + COLUMNS * 4).astype(np.uint8)
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
JPEG_12 = base64.b85decode(
    "|JeWA07C!*0RaI40RjO50RjR70s;gB0s;a81q1{G1O^2L1_lKN1_lQS2nGiU2L=WR3kV4c3JMAe1_%ob3knPg3JMDU!2k;k0"
    "1yBe0Ra&J|HJ?m0099300000000000000001OHZ|HJ?s5C8xM0{{R30000000000000XNDK|z`Vsii500;pA002J#%#$n)B;"
    "0t}*tH&X2*4~2B;0t}*tH&X2*4~2B;0t}*tH&X6#!ToNx1Q|v1&Z%5r9}4Nx1Q|v1&Z%5r9}4Nx1Q|v1&Z%KmXY"
)
"""TWELVE as a JPEG of 12 bits by libjpeg-turbo, up to 1 off, without a JFIF segment."""
JPEG_LS = {
    2: base64.b85decode(
        "|JeWc01E;D5C9kf0TBTI+5iXv0RR910Hl(s?|ZFQy?XWP`t|GAuV1fTy?WNYdiCqpwd>cfUcX+wdiCq|>({SZ*RNi^dhL4k>"
        "({T>uU@@+{d)E5*0t-`t~`8r@#Dvj$B#Vo*Uvoj&Vc{f"
    ),
    3: base64.b85decode(
        "|JeWc01E>E5C9kf0TBTI+5iXv0RR910F2D~oiF|$%UzC`qfa&7TB^LXLRICetIJhalt!w&wN-g)s`8SmuPs$xTB^N1s;@0oU"
        "RtWD%T-sFs;@0oUCUKhma4BURoBZ^SC*=)F05+HsjDugthkY@E~c!ynzHJqth$=A>T1hsYRjpsE~c$6rmVV}vg&G#x|*`;YR"
        "jpt%c-j_rmVW2|Je"
    ),
    5: base64.b85decode(
        "|JeWc01E{G5C9kf0TBTI+5iXv0RR910F2My{h$ATGXx~csKCF&Ac222{~Bmdhrg@8Hy-~3-$_@0j(@N_`nUMO-{9}+)%<t(J"
        "8!Fhj`r|>>i=wi@PGMV`2TRH{a^UQ|3Uv%^YQ;+{Qub"
    ),
    6: base64.b85decode(
        "|JeWc01E~H5C9kf0TBTI+5iXv0RR910F2My|9}5{%n*|*ul^Vifq(yIO$q;hHvHfJLr<jtc=!8%>hJx(;P?MG@$dgz>hJ%3;"
        "OGB-W554=t^a@FE&qSU9shsTyZ?U&aR1o"
    ),
    7: base64.b85decode(
        "|JeWc01F2I5C9kf0TBTI+5iXv0RR910F3=VfB%2~a6(L~zyAn7|9{Xw|9|j*|9_$XfBy&nfBZlHf8qas{|Enn{D1#{$Nzu)f"
        "B%1kfB$|kWB-5C1&{xJ44nVj"
    ),
}
"""`steps(bits)` as lossless JPEG-LS by CharLS."""


def steps(bits):
    return ((ROWS * 5 + COLUMNS * 3) % (1 << bits)).astype(np.uint8)


def image(data):
    return next(dicom_images(data, max_pixels=10_000_000))


def grey(data):
    return (image(data).grey >> 8).astype(int)


def reason(data):
    with pytest.raises(MedistillError) as error:
        image(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def as_jpeg(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def without(jpeg, *markers):
    """The JPEG without segments of these markers before its scan."""
    kept, place = jpeg[:2], 2
    while jpeg[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4])
        kept += b"" if jpeg[place + 1] in markers else jpeg[place:end]
        place = end
    return kept + jpeg[place:]


@pytest.mark.parametrize(
    "syntax",
    [JPEGExtended12Bit, JPEGBaseline8Bit, JPEGLosslessSV1, JPEG2000Lossless],
    ids=lambda uid: uid.name,
)
def test_a_jpeg_of_12_bits_is_decoded_under_whatever_name(syntax, capfd):
    shown = grey(dicom(TWELVE, syntax=syntax, stream=JPEG_12, BitsStored=12, **WINDOW))
    assert np.abs(shown - grey(dicom(TWELVE, BitsStored=12, **WINDOW))).max() <= 1
    assert not any(capfd.readouterr())


def test_a_truncated_jpeg_of_12_bits_is_refused():
    cut = JPEG_12[: len(JPEG_12) * 3 // 4 // 2 * 2]
    assert "lacks its end" in reason(dicom(TWELVE, syntax=JPEGExtended12Bit, stream=cut, BitsStored=12))


@pytest.mark.parametrize(
    "header", [{"BitsAllocated": 8, "BitsStored": 8}, {"BitsStored": 8}, {"BitsStored": 10}]
)
def test_a_jpeg_deeper_than_its_header_is_read_by_its_own_depth(header):
    read = image(dicom(TWELVE, syntax=JPEGExtended12Bit, stream=JPEG_12, **header))
    plain = grey(dicom(TWELVE, BitsStored=12))
    assert np.abs((read.grey >> 8) - plain).max() <= 1
    assert read.remarks == (DEPTH_OF_STREAM,)


@pytest.mark.parametrize("stored", [8, 10, 12, 16])
def test_a_jpeg_of_8_bits_in_a_deeper_header_is_left_as_it_is(stored):
    jpeg = as_jpeg(EIGHT)
    shown = grey(dicom(TWELVE, syntax=JPEGBaseline8Bit, stream=jpeg, BitsStored=stored))
    np.testing.assert_array_equal(shown, np.asarray(Image.open(io.BytesIO(jpeg))))


@pytest.mark.parametrize("syntax", LOSSLESS[1:], ids=lambda uid: uid.name)
def test_a_lossless_frame_of_8_bits_in_a_deeper_header_is_left_as_it_is(syntax):
    pixels = np.tile(EIGHT, (2, 2))
    frame = dicom(pixels, syntax=syntax)
    start = frame.index(b"\xff\x4f\xff\x51" if syntax == JPEG2000Lossless else b"\xff\xd8")
    header = pixels.astype(np.uint16)
    shown = grey(dicom(header, syntax=syntax, stream=frame[start:-8], BitsStored=12))
    np.testing.assert_array_equal(shown, pixels)


def test_a_window_for_a_depth_that_the_frame_has_not_is_refused_with_both_numbers():
    data = dicom(TWELVE, syntax=JPEGBaseline8Bit, stream=as_jpeg(EIGHT), BitsStored=12, **WINDOW)
    assert "of 8 bits, where its header says 12" in reason(data)


@pytest.mark.parametrize("bits", JPEG_LS)
def test_jpeg_ls_of_less_than_8_bits_is_decoded(bits):
    pixels = steps(bits)
    data = dicom(pixels, syntax=JPEGLSLossless, stream=JPEG_LS[bits], BitsStored=bits)
    np.testing.assert_array_equal(grey(data), grey(dicom(pixels, BitsStored=bits)))


def test_jpeg_ls_of_7_bits_is_decoded_under_the_lossy_name_too():
    data = dicom(steps(7), syntax=JPEGLSNearLossless, stream=JPEG_LS[7], BitsStored=7)
    np.testing.assert_array_equal(grey(data), grey(dicom(steps(7), BitsStored=7)))


COLOR = np.stack([ROWS * 15, COLUMNS * 9, ROWS + COLUMNS], axis=-1).astype(np.uint8)
LUMA = COLOR @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("space", ["RGB", "YBR_FULL_422", "YBR_FULL", "rgb", None])
@pytest.mark.parametrize("markers", [(), (0xEE,), (0xE0, 0xEE)])
def test_an_rgb_jpeg_needs_no_mark_of_its_colors(space, markers):
    jpeg = without(as_jpeg(COLOR, keep_rgb=True), *markers)
    data = dicom(COLOR, syntax=JPEGBaseline8Bit, stream=jpeg, PhotometricInterpretation=space)
    assert np.abs(grey(data) - LUMA).max() <= 4


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, JPEGLosslessSV1, JPEGLSLossless], ids=lambda uid: uid.name
)
def test_a_baseline_jpeg_is_decoded_under_another_name(syntax):
    jpeg = as_jpeg(EIGHT)
    data = bytearray(dicom(EIGHT, syntax=JPEGBaseline8Bit, stream=jpeg))
    place = data.index(str(JPEGBaseline8Bit).encode())
    data[place : place + 22] = str(syntax).encode().ljust(22, b"\0")
    np.testing.assert_array_equal(grey(bytes(data)), np.asarray(Image.open(io.BytesIO(jpeg))))


def test_native_pixels_under_the_name_of_a_compressed_syntax_are_read():
    np.testing.assert_array_equal(grey(renamed(dicom(EIGHT), JPEGBaseline8Bit)), EIGHT)


def renamed(data, syntax):
    """The file with another transfer syntax in its meta information."""
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(data))
    plain = dataset.file_meta.TransferSyntaxUID
    length = 144 + int.from_bytes(data[140:144], "little")
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(pydicom.filebase.DicomFileLike(file), dataset.file_meta)
    assert plain != syntax
    return data[:132] + file.getvalue() + data[length:]


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.1.2.4.110", "JPEG XL"),
        ("1.2.840.10008.1.2.8.1", "Deflated Image Frame"),
        ("1.2.826.0.1.3680043.9.9.9", "a private one"),
    ],
)
def test_a_syntax_without_a_decoder_is_named(uid, name):
    found = reason(renamed(dicom(EIGHT, syntax=JPEGBaseline8Bit, stream=b"\xff\x0a" + bytes(20)), uid))
    assert "cannot be decoded" in found
    assert name in found


@pytest.mark.parametrize(("marker", "name"), [(0xC9, "arithmetic"), (0xC5, "hierarchical")])
def test_a_kind_of_jpeg_that_no_decoder_knows_is_named(marker, name):
    jpeg = bytearray(as_jpeg(EIGHT))
    jpeg[jpeg.index(b"\xff\xc0") + 1] = marker
    assert name in reason(dicom(EIGHT, syntax=JPEGBaseline8Bit, stream=bytes(jpeg)))


def test_frames_that_are_not_there_are_named():
    jpeg = as_jpeg(EIGHT)
    data = dicom(EIGHT, syntax=JPEGBaseline8Bit, stream=jpeg, NumberOfFrames="3")
    assert "of 3 is not in its pixel data" in reason(data)


def test_the_sizes_that_differ_are_named():
    data = dicom(EIGHT[:8], syntax=JPEGBaseline8Bit, stream=as_jpeg(EIGHT))
    assert "16 x 24 x 1 of 8 bits, not 8 x 24 x 1" in reason(data)


@pytest.mark.parametrize("failing", [("pylibjpeg",), ("pylibjpeg", "gdcm"), ("gdcm", "pylibjpeg", "pillow")])
def test_every_decoder_is_tried_before_a_frame_is_refused(failing, monkeypatch):
    by_plugin = decoders._by_plugin

    def some_fail(dataset, frame, plugin, *, as_rgb):
        if plugin in failing:
            raise ValueError(plugin)
        return by_plugin(dataset, frame, plugin, as_rgb=as_rgb)

    monkeypatch.setattr(decoders, "_by_plugin", some_fail)
    pixels = np.tile(EIGHT, (2, 2))
    data = dicom(pixels, syntax=JPEG2000Lossless)
    if len(failing) < 3:
        np.testing.assert_array_equal(grey(data), pixels)
    else:
        assert "truncated or damaged" in reason(data)


def test_a_damaged_jpeg_is_not_given_to_the_decoder_that_would_make_half_an_image_of_it(monkeypatch):
    by_plugin, tried = decoders._by_plugin, []

    def watched(dataset, frame, plugin, *, as_rgb):
        tried.append(plugin)
        return by_plugin(dataset, frame, plugin, as_rgb=as_rgb)

    monkeypatch.setattr(decoders, "_by_plugin", watched)
    no_tables = without(as_jpeg(EIGHT), 0xDB)
    assert "truncated or damaged" in reason(dicom(EIGHT, syntax=JPEGBaseline8Bit, stream=no_tables))
    assert tried == ["pillow"]


def test_a_huffman_table_of_too_many_codes_is_found_before_gdcm_aborts_at_it():
    damaged = bytearray(JPEG_12)
    damaged[damaged.index(b"\xff\xc4") + 5] = 3  # codes of one bit, of which there can be two
    found = reason(dicom(TWELVE, syntax=JPEGExtended12Bit, stream=bytes(damaged), BitsStored=12))
    assert "markers of a compressed frame are damaged" in found


def test_what_applications_add_to_a_jpeg_of_12_bits_does_not_reach_gdcm(monkeypatch):
    given = []
    monkeypatch.setattr(decoders, "_by_gdcm", lambda dataset, frame, stream: given.append(frame) or TWELVE)
    added = JPEG_12[:2] + b"\xff\xe0\0\x04\xfd\x01" + b"\xff\xfe\0\x04ab" + JPEG_12[2:]
    image(dicom(TWELVE, syntax=JPEGExtended12Bit, stream=added, BitsStored=12))
    assert [frame.rstrip(b"\0") for frame in given] == [JPEG_12.rstrip(b"\0")]
