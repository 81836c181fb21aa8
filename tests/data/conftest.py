"""Small images and studies for the tests of the data layer."""

import io

import numpy as np
import pytest
from PIL import Image

from medistill.data.corpus import open_corpus
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Study, StudyImage
from tests.conftest import each_a_unit


@pytest.fixture(scope="session")
def grey():
    return np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)


@pytest.fixture(scope="session")
def encoded():
    """A Pillow image or an array as the bytes of a file."""

    def encode(image, kind="PNG", **options):
        file = io.BytesIO()
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def study(grey, encoded):
    """A study with one image per view; anything can be set."""
    png = encoded(grey)

    def make(number=1, *, views=("PA",), **fields):
        images = tuple(StudyImage(image=png, view=view) for view in views)
        defaults = {
            "study_id": f"s{number}",
            "patient_id": f"p{number}",
            "images": images,
            "text": "Clear lungs.",
        }
        return Study(**(defaults | fields))

    return make


@pytest.fixture
def write(tmp_path):
    """Write studies as a corpus and open it."""

    def write_and_open(items, name="corpus", **options):
        write_corpus(each_a_unit(items), tmp_path / name, **({"source": "test", "made_with": {}} | options))
        return open_corpus(tmp_path / name)

    return write_and_open
