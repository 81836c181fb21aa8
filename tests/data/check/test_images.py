"""Broken, blank, inverted-looking and tiny images are found."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medistill.data.check import images as check_images
from medistill.data.check import look as check_look
from medistill.data.check.images import Measures, image_flags, measure_images
from medistill.data.check.look import agreement, flatness, uprightness
from medistill.data.corpus import open_corpus
from medistill.data.image import decode_image
from medistill.data.phantom import phantom_studies
from tests.planted import as_jpeg, as_png, phantom_corpus, planted


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return phantom_corpus(tmp_path_factory.mktemp("clean") / "corpus", count=12)


@pytest.fixture
def flags_with(clean, tmp_path):
    """The image flags, by check, where row 2's file is changed so."""

    def check(change):
        def plant(rows):
            rows[2]["image"] = change(rows[2]["image"])

        corpus = planted(clean, tmp_path / "planted", plant)
        return {flag.check: flag for flag in image_flags(measure_images(corpus))}

    return check


def with_metadata(file):
    more, out = PngInfo(), io.BytesIO()
    more.add_text("Author", "nobody")
    Image.open(io.BytesIO(file)).save(out, "PNG", pnginfo=more)
    return out.getvalue()


CHANGES = {
    "unreadable_images": lambda file: file[: len(file) // 2],
    "blank_images": lambda file: as_jpeg(np.full((64, 64), 17, np.uint8)),
    "inverted_images": lambda file: as_png(255 - decode_image(file)),
    "faint_images": lambda file: as_png(decode_image(file) >> 4),
    "tiny_images": lambda file: as_png(decode_image(file)[::3, ::3]),
    "image_metadata": with_metadata,
}


def test_clean_images_are_not_flagged(flags_with):
    assert flags_with(lambda file: file) == {}


@pytest.mark.parametrize("check", CHANGES)
def test_each_fault_is_flagged_alone_and_by_its_row(flags_with, check):
    flags = flags_with(CHANGES[check])
    assert set(flags) == {check}
    assert (flags[check].count, flags[check].cases) == (1, ((2,),))
    assert flags[check].severity == ("error" if check == "unreadable_images" else "warning")


@pytest.mark.parametrize(
    "change", [lambda image: image >> 4, lambda image: 240 + (image >> 4), lambda image: image // 9]
)
def test_an_image_of_hardly_any_contrast_is_flagged(flags_with, change):
    flags = flags_with(lambda file: as_png(change(decode_image(file))))
    assert set(flags) == {"faint_images"}
    assert "nearly black or white" in flags["faint_images"].said


def test_an_unreadable_image_is_told_with_the_reason(flags_with):
    assert (
        "1 broken PNG image: truncated" in flags_with(CHANGES["unreadable_images"])["unreadable_images"].said
    )


def test_a_file_without_a_byte_is_told_as_such(flags_with):
    assert "the file is empty" in flags_with(lambda file: b"")["unreadable_images"].said


def test_a_marker_does_not_make_a_black_image_less_blank():
    black = np.zeros((256, 256), np.uint8)
    black[:16, :16] = 255
    assert flatness(black) > 0.99
    assert flatness(np.tile(np.arange(256, dtype=np.uint8), (4, 1))) < 0.03


def test_the_negative_of_an_image_is_as_far_from_upright_as_the_image_is_upright():
    image = decode_image(next(phantom_studies(1, size=128)).images[0].image)
    assert uprightness(image) == pytest.approx(-uprightness(255 - image), abs=0.01)
    assert uprightness(image) > 0.4
    assert uprightness(np.full((9, 9), 3, np.uint8)) == 0


def test_what_uprightness_compares_with_is_the_mean_of_drawn_radiographs():
    total = np.zeros((8, 8))
    for study in phantom_studies(40, seed=5):
        for image in study.images:
            small = check_look._shrunk(decode_image(image.image), 8)
            total += (small - small.mean()) / small.std()
    drawn = np.array(check_look._DRAWN).ravel()
    assert np.corrcoef(total.ravel(), drawn)[0, 1] > 0.99
    assert np.linalg.norm(drawn) == pytest.approx(100, abs=2)


def test_most_images_inverted_is_said_to_be_doubtful():
    measures = a_measure(uprightness=[-0.5, -0.3, 0.4])
    (flag,) = image_flags(measures)
    assert flag.cases == ((0,), (1,))
    assert flag.figures["sure"] == 1
    assert "that is most" in flag.said


def a_measure(uprightness):
    count = len(uprightness)
    return Measures(
        file=np.arange(count, dtype=np.uint64),
        pixels=np.arange(count, dtype=np.uint64),
        shape=np.full((count, 2), 64, np.int32),
        flatness=np.full(count, 0.1, np.float32),
        uprightness=np.array(uprightness, np.float32),
        plain=np.ones(count, np.bool_),
        looks=np.zeros((count, check_look.LOOK), np.float16),
    )


def test_agreement_is_one_with_itself_and_low_with_another():
    one, other = (decode_image(s.images[0].image) for s in phantom_studies(2, seed=9, size=128))
    assert agreement(one, one) == pytest.approx(1, abs=1e-4)
    assert agreement(one, other) < 0.8
    assert agreement(one, one[:1, :1]) == 0


def test_rows_are_counted_through_all_chunks(flags_with, monkeypatch):
    monkeypatch.setattr(check_images, "_CHUNK", 2)
    assert flags_with(CHANGES["unreadable_images"])["unreadable_images"].cases == ((2,),)


def test_waves_are_orthonormal():
    basis = check_look._basis(8, 32)
    assert np.allclose(basis @ basis.T, np.eye(8), atol=1e-5)


@pytest.mark.slow
def test_the_figures_are_the_same_for_any_number_of_workers(tmp_path):
    corpus = open_corpus(phantom_corpus(tmp_path / "corpus", count=200))
    one, two = (measure_images(corpus, workers=workers) for workers in (1, 2))
    for name in ("file", "pixels", "shape", "flatness", "uprightness", "plain", "looks"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
