"""Drawing: each finding changes the film where its mask says."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from medistill.data.phantom.anatomy import random_anatomy
from medistill.data.phantom.film import Exposure, box, expose, random_exposure
from medistill.data.phantom.findings import FINDINGS, Finding, random_finding

RESHAPING = ("cardiomegaly", "atelectasis", "emphysema", "edema", "fracture")
"""Findings that also change what lies around their mask."""


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def film(findings: list[Finding], exposure: Exposure, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    anatomy = random_anatomy(generator(seed), female=seed % 2 == 0, age=60.0)
    image = expose(anatomy, findings, exposure, 128)
    masks = {name: np.asarray(Image.open(io.BytesIO(mask))) > 0 for name, mask in image.masks.items()}
    return np.asarray(Image.open(io.BytesIO(image.image))).astype(float), masks


@pytest.mark.parametrize("name", [name for name in FINDINGS if name not in RESHAPING])
def test_a_finding_changes_the_film_only_where_its_mask_is(name: str):
    for seed in range(6):
        exposure = random_exposure(generator(seed), "PA")
        finding = random_finding(name, generator(100 + seed))
        bare, _ = film([], exposure, seed)
        drawn, masks = film([finding], exposure, seed)
        change = np.abs(drawn - bare)
        near = binary_dilation(masks[name], iterations=6)
        outside = change[~near].sum() / max(change.sum(), 1.0)
        assert outside < (0.5 if "pneumothorax" in name else 0.05)
        assert change[masks[name]].mean() > 4 * change[~near].mean()


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_is_seen(name: str):
    for seed in range(6):
        exposure = random_exposure(generator(seed), "PA")
        drawn, masks = film([random_finding(name, generator(200 + seed))], exposure, seed)
        bare, _ = film([], exposure, seed)
        assert masks[name].sum() >= 12
        assert np.abs(drawn - bare)[masks[name]].mean() > 3


@pytest.mark.parametrize("name", FINDINGS)
def test_a_lateral_view_can_be_drawn_of_every_finding(name: str):
    exposure = random_exposure(generator(0), "lateral")
    drawn, masks = film([random_finding(name, generator(0))], exposure, 0)
    assert drawn.std() > 10
    assert masks == {}


@pytest.mark.parametrize("seed", range(8))
def test_the_side_marker_stands_on_its_own_side(seed: int):
    exposure = random_exposure(generator(seed), "PA")
    assert (exposure.marker == "L") == (exposure.marker_at[0] > 0)


def test_lungs_are_darker_than_heart_and_abdomen():
    brightness: list[tuple[float, float, float]] = []
    for seed in range(8):
        drawn, _ = film([], random_exposure(generator(seed), "PA"), seed)
        brightness.append(
            (drawn[40:70, 30:45].mean(), drawn[68:84, 62:76].mean(), drawn[105:120, 40:60].mean())
        )
    lung, heart, abdomen = np.mean(brightness, axis=0)
    assert lung + 40 < heart
    assert lung + 40 < abdomen


def test_a_box_is_bounded_by_pixel_edges():
    mask = np.zeros((8, 8))
    mask[2:4, 1:6] = 1.0
    assert box(mask) == (1.0, 2.0, 6.0, 4.0)
