"""Every real DICOM file at hand becomes the right image or one line."""

import numpy as np
import pydicom
import pytest

from medistill.data.dicom import decode_dicom, dicom_images
from medistill.data.dicom.header import read_header
from medistill.data.image import stored_image
from medistill.errors import MedistillError
from tests.data.sources.test_real import real

pytestmark = pytest.mark.real


def data(name):
    return real(f"dicom/{name}.dcm").read_bytes()


def image(name, **options):
    return decode_dicom(data(name), max_pixels=100_000_000, **options).astype(int)


def stored(name):
    return pydicom.dcmread(real(f"dicom/{name}.dcm")).pixel_array


def test_the_same_pixels_under_opposite_tags_become_exact_negatives():
    names = ("rsna_chest_pa", "rsna_chest_pa_monochrome1")
    np.testing.assert_array_equal(stored(names[0]), stored(names[1]))
    np.testing.assert_array_equal(image(names[0]), stored(names[0]))
    np.testing.assert_array_equal(image(names[1]), 255 - image(names[0]))


def test_a_radiograph_in_monochrome1_has_bright_bone_and_dark_lung():
    film = image("RG1_J2KI")
    height, width = film.shape
    spine = film[height // 4 : height // 2, width * 47 // 100 : width * 53 // 100]
    lung = film[height // 6 : height // 3, width // 4 : width // 3]
    assert spine.mean() > lung.mean() + 40
    expected = 255 * (1 - np.clip((stored("RG1_J2KI") - 14999.5) / 29999 + 0.5, 0, 1))
    assert np.abs(film - expected).max() <= 1


def test_a_ct_image_with_a_broken_sequence_is_right_and_warned_of():
    found = next(dicom_images(data("bad_sequence"), max_pixels=10**6))
    expected = 255 * np.clip((stored("bad_sequence") - 1024.0 - 39.5) / 349 + 0.5, 0, 1)
    assert np.abs((found.grey >> 8) - expected).max() <= 1
    assert found.warnings > 0
    assert read_header(data("bad_sequence")).warnings > 0
    second = 255 * np.clip((stored("bad_sequence") - 1024.0 - 449.5) / 1499 + 0.5, 0, 1)
    assert np.abs(image("bad_sequence", window="WINDOW2") - second).max() <= 1


def test_a_modality_lut_without_window_is_stretched_between_the_percentiles():
    dataset = pydicom.dcmread(real("dicom/mlut_18.dcm"))
    table = np.array(dataset.ModalityLUTSequence[0].LUTData)
    values = table[stored("mlut_18").astype(int) + 2048]
    low, high = np.percentile(values, [0.5, 99.5], method="inverted_cdf")
    assert np.abs(image("mlut_18") - 255 * np.clip((values - low) / (high - low), 0, 1)).max() <= 1


def test_a_voi_lut_is_looked_up():
    table = np.array(pydicom.dcmread(real("dicom/vlut_04.dcm")).VOILUTSequence[0].LUTData)
    np.testing.assert_array_equal(image("vlut_04"), table[stored("vlut_04")] >> 8)


def test_each_frame_of_a_multi_frame_image_can_be_had():
    frames = stored("emri_small")
    found = list(dicom_images(data("emri_small"), max_pixels=10**6, frames="all"))
    assert len(found) == len(frames) == 10
    for frame, one in zip(frames, found, strict=True):
        low, high = np.percentile(frame, [0.5, 99.5], method="inverted_cdf")
        expected = 255 * np.clip((frame - float(low)) / (high - low), 0, 1)
        assert np.abs((one.grey >> 8) - expected).max() <= 1
    np.testing.assert_array_equal(image("emri_small"), found[4].grey >> 8)


def test_lossless_jpeg_is_windowed_as_its_header_says():
    expected = 255 * np.clip((stored("JPGLosslessP14SV1_1s_1f_8b") - 126.5) / 253 + 0.5, 0, 1)
    assert np.abs(image("JPGLosslessP14SV1_1s_1f_8b") - expected).max() <= 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("html_saved_as", "not a PNG, JPEG or DICOM image but an HTML page"),
        (
            "emri_small_jpeg_2k_lossless_too_short",
            "truncated DICOM image: the file ends within its pixel data",
        ),
    ],
)
def test_what_is_no_whole_image_is_refused_with_the_reason(name, reason):
    with pytest.raises(MedistillError) as error:
        stored_image(data(name))
    assert str(error.value) == reason


def test_every_file_is_an_image_or_one_line():
    for path in sorted(real("dicom/RG1_J2KI.dcm").parent.iterdir()):
        try:
            kept = stored_image(path.read_bytes(), size=96)
        except MedistillError as error:
            assert "\n" not in str(error)
        else:
            assert kept.startswith(b"\x89PNG")
