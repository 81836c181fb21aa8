"""What must not become an image: by class, by size, or for being broken."""

import re
import sys
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from medistill.data.dicom import decode_dicom, dicom_images
from medistill.data.dicom.header import read_header
from medistill.data.image import stored_image
from medistill.errors import MedistillError
from tests.dicoms import LOSSLESS, dicom, elements, item, written

LIMIT = 10_000_000


@pytest.fixture(scope="module")
def film():
    """Smooth, so that half of a compressed file is half of the image."""
    rows, columns = np.mgrid[:96, :80]
    return (100 + rows + columns // 2).astype(np.uint8)


def reason(data, **options):
    with pytest.raises(MedistillError) as error:
        decode_dicom(data, **({"max_pixels": LIMIT} | options))
    assert "\n" not in str(error.value)
    return str(error.value)


CLASSES = {
    "1.2.840.10008.5.1.4.1.1.88.11": "structured report",
    "1.2.840.10008.5.1.4.1.1.88.59": "key object selection",
    "1.2.840.10008.5.1.4.1.1.11.1": "presentation state",
    "1.2.840.10008.5.1.4.1.1.104.1": "encapsulated PDF",
    "1.2.840.10008.5.1.4.1.1.104.2": "encapsulated document",
    "1.2.840.10008.5.1.4.1.1.9.1.1": "waveform",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.481.3": "structure set",
    "1.2.840.10008.1.3.10": "DICOMDIR",
}


@pytest.mark.parametrize(("sop_class", "kind"), CLASSES.items(), ids=CLASSES.values())
def test_what_is_no_image_is_refused_by_its_class(film, sop_class, kind):
    data = dicom(film, SOPClassUID=sop_class)
    assert kind in reason(data)
    assert kind in read_header(data).no_image


def test_images_for_processing_are_refused_unless_asked_for(film):
    raw = dicom(film, PresentationIntentType="FOR PROCESSING")
    assert "FOR PROCESSING" in reason(raw)
    np.testing.assert_array_equal(decode_dicom(raw, max_pixels=LIMIT, for_processing=True), film)


@pytest.mark.parametrize("cut", [200, 0.5, 0.98])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, *LOSSLESS], ids=lambda uid: uid.name
)
def test_a_file_cut_short_is_refused(film, syntax, cut):
    data = dicom(film, syntax=syntax)
    kept = data[:cut] if cut == 200 else data[: int(len(data) * cut)]
    assert any(word in reason(kept) for word in ("truncated", "broken", "cut"))


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("syntax", [*LOSSLESS[1:], JPEGBaseline8Bit], ids=lambda uid: uid.name)
def test_a_frame_cut_short_is_refused_where_the_file_goes_on(film, syntax, share):
    whole = dicom(film, syntax=syntax)
    start = whole.index(b"\xff\x4f\xff\x51" if syntax == JPEG2000Lossless else b"\xff\xd8")
    frame = whole[start:-8]
    cut = frame[: int(len(frame) * share) // 2 * 2]
    assert "lacks its end" in reason(dicom(film, syntax=syntax, stream=cut))


@pytest.mark.parametrize("syntax", [*LOSSLESS[1:], JPEGBaseline8Bit], ids=lambda uid: uid.name)
def test_a_frame_of_another_size_than_stated_is_refused(film, syntax):
    whole = dicom(film, syntax=syntax)
    start = whole.index(b"\xff\x4f\xff\x51" if syntax == JPEG2000Lossless else b"\xff\xd8")
    other = dicom(film[:64], syntax=syntax, stream=whole[start:-8])
    assert "another size" in reason(other)


def test_a_frame_of_an_impossible_depth_is_refused_and_ends_no_process(film):
    whole = bytearray(dicom(film, syntax=JPEG2000Lossless))
    whole[whole.index(b"\xff\x4f\xff\x51") + 42] = 0xCE  # 79 bits, signed
    assert "another size" in reason(bytes(whole))


def test_native_pixels_that_are_too_few_are_refused(film):
    assert "truncated or damaged" in reason(dicom(film, Rows=97))


def test_an_image_over_the_limit_is_refused_from_its_header(film):
    found = reason(dicom(film, Rows=30_000, Columns=30_000))
    assert "30,000 x 30,000 = 900,000,000 pixels" in found
    assert "--max-pixels" in found


def test_the_limit_counts_every_frame_that_is_asked_for(film):
    cine = dicom(np.stack([film] * 4))
    decode_dicom(cine, max_pixels=film.size)
    with pytest.raises(MedistillError, match="x 4 frames"):
        next(dicom_images(cine, max_pixels=film.size * 3, frames="all"))


def test_a_deflated_bomb_is_refused_before_it_grows(film):
    element = b"\x09\0\x10\x10UN\0\0" + (100_000_000).to_bytes(4, "little")  # ahead of the pixels
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join([stream.compress(element), *(stream.compress(bytes(1_000_000)) for _ in range(100))])
    bomb = meta_information(dicom(film, syntax=DeflatedExplicitVRLittleEndian)) + packed + stream.flush()
    assert len(bomb) < 200_000
    tracemalloc.start()
    assert "refused" in reason(bomb)
    with pytest.raises(MedistillError, match="refused"):
        read_header(bomb)
    assert tracemalloc.get_traced_memory()[1] < 80_000_000
    tracemalloc.stop()


def meta_information(data):
    return data[: 144 + int.from_bytes(data[140:144], "little")]


def test_a_deflated_file_may_not_outgrow_its_own_header(film):
    dataset = elements(film)
    dataset.PixelData = film.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.add_new(0xFFFCFFFC, "OB", bytes(40_000_000))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert "larger than its header says" in reason(written(dataset))


def test_nothing_of_a_file_is_quoted_or_shown(film, capfd, caplog):
    with warnings.catch_warnings(action="ignore"):
        data = dicom(film, PatientID="Jane Doe", StudyInstanceUID="Jane.Doe", PatientName="Doe^Jane")
    caplog.clear()  # pydicom, of what the test itself wrote
    broken = data.replace(b"MONOCHROME2", b"Jane Doe   ")
    assert "Doe" not in reason(broken)
    with warnings.catch_warnings(action="error"):
        image = next(dicom_images(data, max_pixels=LIMIT))
        assert image.warnings > 0
        assert read_header(data).warnings > 0
    assert not any([*capfd.readouterr(), caplog.text])


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"\xef\xbb\xbf\n <HTML lang='en'>", "an HTML page"),
        (b"%PDF-1.4", "a PDF"),
        (b"PK\x03\x04", "a ZIP archive"),
    ],
)
def test_what_was_saved_under_the_wrong_name_is_named(start, kind):
    data = start + b" 0123456789" * 40
    with pytest.raises(MedistillError, match=f"not a PNG, JPEG or DICOM image but {kind}"):
        stored_image(data)
    with pytest.raises(MedistillError, match=f"not a DICOM file but {kind}"):
        read_header(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": None},
        {"Rows": 0},
        {"BitsStored": 0, "HighBit": 7},
        {"BitsAllocated": 12},
        {"PhotometricInterpretation": "CMYK"},
        {"SamplesPerPixel": 4},
        {"PhotometricInterpretation": "PALETTE COLOR"},
    ],
    ids=str,
)
def test_headers_that_state_no_image_are_refused(film, changes):
    assert reason(dicom(film, **changes))


def test_a_header_without_pixels_is_no_image(film):
    dataset = elements(film)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    assert "no pixel data" in reason(written(dataset))


MUTATED = [
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    LOSSLESS[0],
    JPEGBaseline8Bit,
    JPEG2000Lossless,
]


@pytest.mark.parametrize("syntax", MUTATED, ids=lambda uid: uid.name)
def test_a_mutated_file_is_an_image_or_one_line(film, syntax):
    whole = dicom(
        film,
        syntax=syntax,
        WindowCenter=128,
        WindowWidth=256,
        SharedFunctionalGroupsSequence=[item(FrameVOILUTSequence=[item(WindowCenter=9, WindowWidth=9)])],
    )
    random = np.random.default_rng(0)
    outcomes = set()
    for number in range(40):
        data = bytearray(whole)
        for place in random.integers(128, len(data), 1 + number % 8):
            data[place] = random.integers(256)
        data = bytes(data[: random.integers(140, len(data))] if number % 5 == 0 else data)
        outcomes.add(mutated(data))
    assert outcomes == {"image", "line"}


def mutated(data):
    try:
        read_header(data)
        image = decode_dicom(data, max_pixels=100_000)
    except MedistillError as error:
        assert "\n" not in str(error)
        return "line"
    assert image.dtype == np.uint8
    return "image"


def test_without_pydicom_one_line_says_what_to_install(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    data = dicom(film)
    assert "pip install medistill[dicom]" in reason(data)
    with pytest.raises(MedistillError, match=re.escape("pip install medistill[dicom]")):
        read_header(data)
