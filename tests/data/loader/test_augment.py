import numpy as np
import pytest

from medistill.data.loader.augment import (
    BLUR,
    CONTRAST,
    GAIN,
    NOISE,
    augment,
    blur,
    draws,
    exposure,
    grain,
    moved,
)
from medistill.recipe.fields import MOST_STRENGTH

SIDE = 64
ROWS = 200


def disk(x: float, y: float) -> np.ndarray:
    grid = np.arange(SIDE)
    inside = (grid[None, :] - x) ** 2 + (grid[:, None] - y) ** 2 < 36
    return (inside * 200).astype(np.uint8)


def places(*rows: int, epoch: int = 0) -> np.ndarray:
    return np.array([(epoch, row) for row in rows])


def many(image: np.ndarray) -> np.ndarray:
    """The image under many draws."""
    return augment(np.stack([image] * ROWS), places(*range(ROWS)), seed=0)


def test_augmentation_never_changes_sides():
    disks = many(disk(46, 30)).astype(float)
    centers = (disks.sum(axis=1) * np.arange(SIDE)).sum(axis=1) / disks.sum(axis=(1, 2))
    assert 36 < centers.min() < centers.max() < 56
    assert centers.max() - centers.min() > 5


def test_no_draw_at_all_leaves_the_image_where_it_is():
    image = disk(46, 30).astype(np.float32)
    grid = np.empty((SIDE, SIDE), np.complex64)
    np.testing.assert_allclose(moved(image, 0.0, 0.0, 0.0, 0.0, grid), image, atol=1e-3)


def test_augmentation_is_a_function_of_seed_epoch_and_row():
    images = np.stack([disk(20, 20), disk(40, 40)])
    both = augment(images, places(7, 9, epoch=2), seed=1)
    assert (augment(images, places(7, 9, epoch=2), seed=1) == both).all()
    assert not (augment(images, places(7, 9, epoch=3), seed=1) == both).all()
    assert not (augment(images, places(7, 9, epoch=2), seed=2) == both).all()
    assert not (augment(images, places(7, 8, epoch=2), seed=1)[1] == both[1]).all()


@pytest.mark.parametrize("side", [SIDE, 63])
def test_how_pairs_are_grouped_changes_no_bit(side):
    images = np.random.default_rng(0).integers(0, 256, (9, side, side), dtype=np.uint8)
    rows = places(*range(9))
    whole = augment(images, rows, seed=3)
    for chunk in (1, 2, 5):
        cuts = range(chunk, 9, chunk)
        parts = zip(np.split(images, cuts), np.split(rows, cuts), strict=True)
        assert (np.concatenate([augment(part, own, seed=3) for part, own in parts]) == whole).all()


def test_the_images_given_stay_as_they_are():
    images = disk(20, 20)[None]
    augment(images, places(0), seed=0)
    assert (images[0] == disk(20, 20)).all()


def test_strength_widens_pose_exposure_and_noise_and_nothing_else():
    factors = draws(places(*range(4)), seed=0, strength=2.0) / draws(places(*range(4)), seed=0)
    blur_and_place_in_the_noise = [7, 9, 10]
    assert (factors[:, blur_and_place_in_the_noise] == 1).all()
    assert (np.delete(factors, blur_and_place_in_the_noise, axis=1) == 2).all()


def test_a_stronger_augmentation_moves_further():
    spreads = []
    for strength in (0.0, 1.0, 2.0):
        disks = augment(np.stack([disk(46, 30)] * ROWS), places(*range(ROWS)), seed=0, strength=strength)
        weight = disks.astype(float).sum(axis=(1, 2))
        spreads.append(np.std((disks.sum(axis=1) * np.arange(SIDE)).sum(axis=1) / weight))
    assert spreads[0] < 0.01
    assert spreads[2] > 1.8 * spreads[1]


@pytest.mark.parametrize("gamma", [-MOST_STRENGTH, -1.0, 1.0, MOST_STRENGTH])
@pytest.mark.parametrize("contrast", [-MOST_STRENGTH, -1.0, 1.0, MOST_STRENGTH])
def test_exposure_keeps_black_black_and_the_order_of_greys(gamma, contrast):
    curve = exposure(gamma, 0.0, contrast)
    assert curve[0] == 0
    assert curve[255] == pytest.approx(255)
    assert (np.diff(curve) > 0).all()


def test_gain_and_contrast_are_as_strong_as_stated():
    assert exposure(0.0, 1.0, 0.0)[200] == pytest.approx(200 * (1 + GAIN))
    steeper = np.diff(exposure(0.0, 0.0, 1.0))[127]
    assert steeper == pytest.approx(1 + CONTRAST, abs=1e-3)


def test_blur_lowers_high_frequencies_and_keeps_the_mean():
    image = np.random.default_rng(0).normal(100, 20, (SIDE, SIDE)).astype(np.float32)
    blurred = image.copy()
    blur(blurred, BLUR, np.empty_like(image))
    power = [np.abs(np.fft.fft2(x))[24:40, 24:40].mean() for x in (image, blurred)]
    assert power[1] < 0.2 * power[0]
    assert blurred.mean() == pytest.approx(image.mean(), rel=1e-3)


def test_blur_has_the_standard_deviation_stated():
    point = np.zeros((9, 9), np.float32)
    point[4, 4] = 1
    blur(point, BLUR, np.empty_like(point))
    away = np.arange(-4, 5) ** 2
    assert point.sum() == pytest.approx(1)
    for axis in (0, 1):
        assert (point.sum(axis=axis) * away).sum() == pytest.approx(BLUR**2, rel=1e-5)


def test_noise_has_the_standard_deviation_stated_in_proportion_to_the_grey():
    for grey in (50.0, 200.0):
        image = np.full((SIDE, SIDE), grey, np.float32)
        grain(image, 1.0, 0.2, -0.4, np.empty_like(image))
        assert image.std() == pytest.approx(NOISE * grey, rel=0.05)
        assert image.mean() == pytest.approx(grey, rel=0.005)


def test_images_have_noise_of_their_own():
    first, second = (
        many(np.full((SIDE, SIDE), 120, np.uint8))[i, 16:48, 16:48].astype(float) for i in (0, 1)
    )
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize("offset", [-1.0, 0.999999])
def test_noise_at_the_ends_of_its_field_covers_the_image(offset):
    image = np.full((SIDE, SIDE), 100, np.float32)
    grain(image, 1.0, offset, offset, np.empty_like(image))
    assert (image != 100).mean() > 0.99


def test_a_black_border_stays_black():
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[:, 20:44] = 180
    films = many(image)
    assert (many(np.zeros((SIDE, SIDE), np.uint8)) == 0).all()
    assert (films[:, :, :4] == 0).all()
    assert (films[:, :, -4:] == 0).all()


def test_what_comes_in_from_outside_is_black():
    corners = many(np.full((SIDE, SIDE), 200, np.uint8))[:, 0, 0]
    assert 0.2 < (corners == 0).mean() < 0.95


def test_a_bright_image_saturates_and_does_not_wrap():
    assert many(np.full((SIDE, SIDE), 255, np.uint8))[:, 24:40, 24:40].min() > 190
