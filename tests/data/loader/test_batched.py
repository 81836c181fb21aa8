import numpy as np
import pytest
import torch

from medistill.data.image import decode_image
from medistill.data.loader.augment import augment, draws
from medistill.data.loader.batched import SETTINGS, augment_batch, augment_on, settings
from medistill.data.phantom import phantom_studies

CPU = torch.device("cpu")
GREY = 1
"""The largest difference of a pixel: an interpolated grey that is rounded the other way."""
RARE = 1e-4
"""Share of the pixels that differ."""


def noise(side: int, count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


def places(count: int) -> np.ndarray:
    return np.stack([np.arange(count) % 3, np.arange(count)], axis=1)


def one_by_one(images: np.ndarray) -> np.ndarray:
    return augment(images, places(len(images)), seed=5)


def together(images: np.ndarray, device: torch.device = CPU) -> np.ndarray:
    asked = torch.from_numpy(settings(draws(places(len(images)), seed=5)))
    return augment_batch(torch.from_numpy(images).to(device), asked.to(device)).cpu().numpy()


def assert_as_one_by_one(made: np.ndarray, images: np.ndarray) -> None:
    difference = np.abs(made.astype(int) - one_by_one(images))
    assert difference.max() <= GREY
    assert (difference > 0).mean() < RARE


@pytest.mark.parametrize("side", [224, 63, 8])
def test_a_batch_is_what_its_images_are_one_by_one(side):
    assert_as_one_by_one(together(noise(side)), noise(side))


def test_a_batch_of_radiographs_is_what_they_are_one_by_one():
    files = [image.image for study in phantom_studies(12, size=128) for image in study.images]
    images = np.stack([decode_image(file) for file in files])
    assert_as_one_by_one(together(images), images)


def test_a_batch_of_extreme_draws_is_what_its_images_are_one_by_one(monkeypatch):
    ends = np.random.default_rng(0).choice([-1.0, 0.0, 1 - 2**-53], (40, 11))
    monkeypatch.setattr("medistill.data.loader.augment.draws", lambda places, seed, strength: ends)
    made = augment_batch(torch.from_numpy(noise(64)), torch.from_numpy(settings(ends))).numpy()
    assert_as_one_by_one(made, noise(64))


def test_an_image_has_as_many_settings_as_said():
    assert settings(np.zeros((2, 11))).shape == (2, SETTINGS)


@pytest.mark.parametrize("pixels", [1, 5 * 64 * 64])
def test_a_window_is_augmented_in_place_some_images_at_a_time(monkeypatch, pixels):
    monkeypatch.setattr("medistill.data.loader.batched._PIXELS", pixels)
    images = torch.from_numpy(noise(64, 12))
    augment_on(CPU, images, torch.from_numpy(settings(draws(places(12), seed=5))))
    assert_as_one_by_one(images.numpy(), noise(64, 12))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this is about a CUDA device")
def test_a_card_makes_the_images_that_the_host_makes():
    assert_as_one_by_one(together(noise(224), torch.device("cuda")), noise(224))
