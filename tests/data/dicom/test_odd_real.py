"""Strangers' files that were once wrong: each is the right image now, or has its true reason."""

import pytest

from medistill.data.dicom.header import read_header
from medistill.data.image import decode_image
from medistill.errors import MedistillError
from tests.data.sources.test_real import real

pytestmark = pytest.mark.real
IMAGES = {
    "acr-nema__0_GH340.dcm": (256, 256),
    "jpeg-12bit-as-baseline__0_jpeg8.dcm": (512, 512),
    "jpeg-12bit__0_NM1_JPLY": (1024, 256),
    "jpeg-12bit__1_JPGExtended.dcm": (1024, 256),
    "jpeg-12bit__2_CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": (512, 512),
    "jpegls-7bit__0_JLSL_08_07_0_1F.dcm": (128, 128),
    "xa-modality-lut__0_I_000000.dcm": (512, 512),
}
REASONS = {
    "jpg-lossless": "which cannot be decoded here",
    "labelmap": "holds a label map segmentation",
    "non-image-class-DICOMDIR": "holds a DICOMDIR",
    "non-image-class-bulk": "holds bulk annotations",
    "non-image-class-colour": "holds a color palette",
    "non-image-class-hanging": "holds a hanging protocol",
    "png-no-palette": "indexed color without a palette",
}


def data(name):
    return real(f"odd_files/{name}").read_bytes()


@pytest.mark.parametrize(("name", "shape"), IMAGES.items(), ids=IMAGES)
def test_what_can_be_decoded_is_a_picture(name, shape):
    image = decode_image(data(name))
    assert image.shape == shape
    assert image.std() > 20
    assert (image > 250).mean() < 0.5
    assert read_header(data(name)).no_image is None


@pytest.mark.parametrize("kind", REASONS)
def test_what_cannot_has_its_true_reason(kind):
    names = [path.name for path in real("odd_files/INDEX.csv").parent.iterdir() if path.name.startswith(kind)]
    assert names
    for name in names:
        with pytest.raises(MedistillError, match=REASONS[kind]):
            decode_image(data(name))


@pytest.mark.parametrize("name", ["0_gray-2-tRNS", "1_gray-2-sRGB-tRNS", "2_gray-2-1.8-tRNS"])
def test_the_transparent_grey_of_two_bits_is_black(name):
    assert decode_image(data(f"grey-trns__{name}.png")).tolist() == [[0, 0, 170, 255]]
