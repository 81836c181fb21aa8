"""What is no picture is told by its class; what a class makes of its elements."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medistill.data.dicom import dicom_images
from medistill.data.dicom.header import read_header
from medistill.data.dicom.levels import dicom_levels
from medistill.errors import MedistillError
from tests.dicoms import dicom, item, written

ROWS, COLUMNS = np.mgrid[:16, :24]
GREY = (ROWS * 10 + COLUMNS * 4).astype(np.uint8)
STORAGE = "1.2.840.10008.5.1.4.1.1."
CLASSES = {
    "1.2.840.10008.5.1.4.39.1": "color palette",
    "1.2.840.10008.5.1.4.38.1": "hanging protocol",
    "1.2.840.10008.5.1.4.43.1": "implant template",
    f"{STORAGE}91.1": "bulk annotations",
    f"{STORAGE}66.7": "label map segmentation",
    f"{STORAGE}66.5": "surface segmentation",
    f"{STORAGE}66.6": "tractography",
    f"{STORAGE}68.1": "surface data",
    f"{STORAGE}78.2": "measurement of the eye",
    f"{STORAGE}80.1": "visual field",
    f"{STORAGE}90.1": "content assessment",
    f"{STORAGE}200.2": "procedure protocol",
    f"{STORAGE}481.10": "RT Physician Intent",
    f"{STORAGE}77.1.5.3": "Stereometric Relationship",
    "1.3.12.2.1107.5.9.1": "Siemens CSA",
}


def image(data, **options):
    return next(dicom_images(data, max_pixels=10_000_000, **options))


def reason(data):
    with pytest.raises(MedistillError) as error:
        image(data)
    return str(error.value)


def without_picture(sop_class=None, media=None, **values):
    """A file of elements that are no picture's."""
    dataset = Dataset()
    for name, value in ({"PatientID": "P1", "SOPInstanceUID": "1.2.3"} | values).items():
        setattr(dataset, name, value)
    if sop_class:
        dataset.SOPClassUID = sop_class
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if media:
        dataset.file_meta.MediaStorageSOPClassUID = media
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=False, implicit_vr=False, little_endian=True)
    return bytes(128) + b"DICM" + file.getvalue().removeprefix(bytes(128) + b"DICM")


@pytest.mark.parametrize(("sop_class", "kind"), CLASSES.items(), ids=CLASSES.values())
def test_a_class_without_a_picture_is_named(sop_class, kind):
    data = without_picture(sop_class)
    assert kind in (read_header(data).no_image or "")
    assert kind in reason(data)


def test_the_class_of_a_dicomdir_stands_in_its_meta_information():
    data = without_picture(media="1.2.840.10008.1.3.10", FileSetID="")
    assert read_header(data).no_image == "a DICOMDIR"
    assert reason(data) == "not an image: the DICOM file holds a DICOMDIR"


def test_a_dicomdir_is_known_by_its_records_too():
    data = without_picture(DirectoryRecordSequence=[item(DirectoryRecordType="PATIENT")])
    assert read_header(data).no_image == "a DICOMDIR"


def test_a_picture_of_a_class_without_image_in_its_name_is_one():
    assert read_header(dicom(GREY, SOPClassUID=f"{STORAGE}81.1")).no_image is None  # thickness map


def test_a_header_tells_whether_pixels_follow():
    assert read_header(dicom(GREY)).has_pixels
    assert not read_header(without_picture(f"{STORAGE}2")).has_pixels


def table(entries):
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [len(entries), 0, 16])
    lut.add_new("LUTData", "US", list(entries))
    return [lut]


WHITE = {"ModalityLUTSequence": table([60_000 + i for i in range(256)])}


@pytest.mark.parametrize("number", ["12.1", "12.1.1", "12.2", "12.2.1", "12.3"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 128, "WindowWidth": 256}])
def test_the_modality_lut_of_angiography_is_for_the_signal_and_not_for_display(number, window):
    sop_class = f"{STORAGE}{number}"
    raw = dicom(GREY, SOPClassUID=sop_class, **WHITE, **window)
    plain = dicom(GREY, SOPClassUID=sop_class, **window)
    np.testing.assert_array_equal(image(raw).grey, image(plain).grey)
    levels = [dicom_levels(data, max_pixels=10**6).values for data in (raw, plain)]
    np.testing.assert_array_equal(*levels)


def test_the_modality_lut_of_any_other_class_is_applied():
    window = {"WindowCenter": 128, "WindowWidth": 256}
    assert (image(dicom(GREY, **WHITE, **window)).grey == 65535).all()


def test_the_rescale_of_angiography_is_applied():
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -10, "WindowCenter": 246, "WindowWidth": 511}
    shown = image(dicom(GREY, SOPClassUID=f"{STORAGE}12.1", **rescale)).grey >> 8
    assert np.abs(shown.astype(int) - GREY).max() <= 1


SLIDE = {"SOPClassUID": f"{STORAGE}77.1.6", "TotalPixelMatrixRows": 160, "TotalPixelMatrixColumns": 24}


def test_a_tile_of_a_whole_slide_is_not_taken_for_the_picture():
    data = dicom(np.stack([GREY] * 10), **SLIDE)
    assert "tiles of a whole slide" in reason(data)
    assert "10 tile(s)" in reason(data)


@pytest.mark.parametrize("frames", [1, "all"])
def test_tiles_that_are_asked_for_are_taken(frames):
    data = dicom(np.stack([GREY] * 10), **SLIDE)
    np.testing.assert_array_equal(image(data, frames=frames).grey >> 8, GREY)


def test_the_one_tile_of_another_part_of_a_slide_is_not_the_picture():
    assert "tiles of a whole slide" in reason(dicom(GREY, **SLIDE))


def test_a_slide_in_one_piece_is_a_picture():
    whole = SLIDE | {"TotalPixelMatrixRows": 16}
    np.testing.assert_array_equal(image(dicom(GREY, **whole)).grey >> 8, GREY)


def test_a_file_cut_before_its_pixels_is_no_image():
    dataset = pydicom.dcmread(io.BytesIO(dicom(GREY)))
    del dataset.PixelData
    assert "no pixel data" in reason(written(dataset))
