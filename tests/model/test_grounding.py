"""Maps of a phrase over an image: what they hold, and where they lie on the image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from medistill.data.image import letterbox, letterbox_frame
from medistill.model.dual import DualEncoder
from medistill.model.encoder import ImageTower
from medistill.model.grounding import NoPlacesError, PhraseMap, phrase_map
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe

VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
VIT |= {"patch_size": 8, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def vit(pooling: str = "mean") -> DualEncoder:
    return tiny_model(tiny_recipe(image=Encoder(type="vit", config=VIT, pooling=pooling)))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def phrase(model: DualEncoder, text: str = "left effusion") -> torch.Tensor:
    return model.encode_texts([text])


def test_a_mean_pooled_transformers_map_is_each_patchs_logit_less_the_global_one():
    model, image = vit(), noise(32, 32)
    said = phrase(model)
    tokens = model.image.backbone(model._pixels(torch.from_numpy(image[None]))).last_hidden_state[0, 1:]
    patches = model.image_projection(tokens).detach()
    whole = patches.mean(dim=0)
    along = said[0] - (said[0] @ F.normalize(whole, dim=0)) * F.normalize(whole, dim=0)
    expected = ((patches - whole) @ along / whole.norm() / len(patches)).reshape(4, 4)
    (found,) = model.phrase_maps([image], said)
    np.testing.assert_allclose(found.cells, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "model", [tiny_model(), vit(), tiny_model(tiny_recipe(head="gated"))], ids=["resnet", "vit", "gated"]
)
def test_the_contributions_are_the_slope_of_the_cosine(model, monkeypatch):
    """A small step of every place toward the mean changes the cosine by what the map says, summed up."""
    image, said = noise(32, 32), phrase(model)
    features, slope = _parts(model, image, said)
    direction = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    assert slope.shape == features.shape
    moved = _cosine_with(model, image, said, features, direction) - _cosine_with(
        model, image, said, features, -direction
    )
    assert float(moved) == pytest.approx(2 * float((slope * direction).sum()), rel=0.03, abs=1e-7)


def _parts(model, image, said):
    from medistill.model.grounding import contributions

    pixels = model._pixels(torch.from_numpy(image[None]))
    return contributions(model.eval().image, pixels, model._projected, said)


def _cosine_with(model, image, said, features, change):
    """The cosine once the change is added to the layer whose features these are."""
    found = []

    def add(module, inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        grid = (
            model.image.grid(hidden, torch.zeros(1, 1, 32, 32)) if isinstance(hidden, torch.Tensor) else None
        )
        if grid is None or grid.shape != features.shape or not torch.equal(grid, features):
            return None
        found.append(module)
        if hidden.ndim == 4:
            return hidden + change
        padded = F.pad(change.flatten(2).mT, (0, 0, hidden.shape[1] - change[0, 0].numel(), 0))
        return hidden + padded

    hooks = [module.register_forward_hook(add) for module in model.image.backbone.modules()]
    try:
        with torch.no_grad():
            seen = model.embed_images(torch.from_numpy(image[None]))
    finally:
        for hook in hooks:
            hook.remove()
    assert found
    return (seen * said).sum()


def test_a_class_token_is_explained_by_the_layer_before_the_last():
    model = vit("cls")
    (found,) = model.phrase_maps([noise(32, 32)], phrase(model))
    assert found.cells.shape == (4, 4)
    assert np.ptp(found.cells) > 0


def test_the_map_of_a_resnet_has_the_grid_of_its_first_stage():
    model = tiny_model()
    (found,) = model.phrase_maps([noise(32, 32)], phrase(model))
    assert found.cells.shape == (8, 8)
    assert found.cells.mean() != 0


def test_batches_and_frozen_weights_do_not_change_a_map():
    model = tiny_model()
    images = [noise(32, 32, seed) for seed in range(5)]
    said = model.encode_texts(["left", "right", "edema", "no edema", "heart"])
    whole = model.phrase_maps(images, said)
    model.requires_grad_(False)
    for one, other in zip(whole, model.phrase_maps(images, said, batch_size=2), strict=True):
        np.testing.assert_allclose(one.cells, other.cells, atol=1e-6)


def test_maps_leave_no_gradient_and_the_mode_as_it_was():
    model = tiny_model().train()
    model.phrase_maps([noise(32, 32)], phrase(model))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


class Flat(nn.Module):
    """A backbone whose features stand for no place."""

    def forward(self, images, output_hidden_states=False):
        pooled = images.mean(dim=(2, 3), keepdim=True).expand(-1, 8, 1, 1)
        return type("Output", (), {"last_hidden_state": pooled, "hidden_states": None})()


def test_a_tower_without_places_says_so():
    model = tiny_model()
    config = type(model.image.config)(hidden_sizes=[8])
    model.image = ImageTower(Flat(), config, "mean", frozen_norm=False)
    model.image_projection = nn.Linear(8, model.dim, bias=False)
    with pytest.raises(NoPlacesError, match="no layer"):
        model.phrase_maps([noise(32, 32)], phrase(model))


class Brightness(nn.Module):
    """A backbone whose only layer is the mean brightness of each 4 x 4 pixels."""

    def forward(self, images, output_hidden_states=False):
        features = F.avg_pool2d(images, 4)
        features = torch.cat([features, torch.ones_like(features)], dim=1)
        return type("Output", (), {"last_hidden_state": features, "hidden_states": None})()


def bright_model(size: int = 32) -> DualEncoder:
    """A model whose cosine with the phrase (1, 0, ...) grows with brightness."""
    model = tiny_model(tiny_recipe(size=size))
    config = type(model.image.config)(hidden_sizes=[2])
    model.image = ImageTower(Brightness(), config, "mean", frozen_norm=False)
    model.image_projection = nn.Linear(2, model.dim, bias=False)
    with torch.no_grad():
        model.image_projection.weight.copy_(torch.eye(model.dim, 2))
    model.mean, model.std = 0.0, 1.0
    return model


@pytest.mark.parametrize("shape", [(64, 64), (90, 40), (40, 90), (200, 130), (61, 97)])
@pytest.mark.parametrize("place", [(0.2, 0.75), (0.8, 0.3)], ids=["upper right", "lower left"])
@pytest.mark.parametrize("as_pil", [False, True])
def test_a_bright_square_is_pointed_at_wherever_it_lies(shape, place, as_pil):
    """In a letterboxed image too: rows are not columns, and the padding is no part of the image."""
    row, column = (int(share * side) for share, side in zip(place, shape, strict=True))
    half = max(shape) // 12
    image = np.full(shape, 30, np.uint8)
    image[row - half : row + half, column - half : column + half] = 250
    model = bright_model()
    asked = torch.eye(1, model.dim)
    (found,) = model.phrase_maps([Image.fromarray(image) if as_pil else image], asked)
    heat = found.over_image()
    assert heat.shape == shape
    y, x = np.unravel_index(heat.argmax(), shape)
    cell = max(shape) / 8
    assert abs(y + 0.5 - row) <= 0.75 * cell
    assert abs(x + 0.5 - column) <= 0.75 * cell


def test_the_letterbox_is_not_in_the_map():
    """A dark image in a darker letterbox: the mean is over the image alone."""
    image = noise(32, 12)
    (found,) = bright_model().phrase_maps([image], torch.eye(1, 8))
    assert found.cells.shape == (8, 4)  # centers of the cells at 2, 6, 10, ... of which 10 to 22 are inside
    assert found.cells.mean() == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(found.columns, [0, 4, 8, 12])
    np.testing.assert_allclose(found.rows, 2 + 4 * np.arange(8))


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (7, 32), (32, 32), (1, 100)])
def test_the_frame_is_where_the_letterbox_puts_the_image(shape):
    square = letterbox(np.full(shape, 255, np.uint8), 32)
    top, left, height, width = letterbox_frame(shape, 32)
    expected = np.zeros((32, 32), np.uint8)
    expected[top : top + height, left : left + width] = 255
    np.testing.assert_array_equal(square, expected)


def test_an_image_thinner_than_a_cell_has_one_row():
    features = torch.rand(3, 4, 4)
    found = phrase_map(features, torch.ones_like(features), (2, 100), 32)
    assert found.cells.shape == (1, 4)
    assert found.over_image().shape == (2, 100)


def test_over_the_image_a_map_is_smoothed_by_one_cell_and_bilinear():
    cells = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    rows, columns = 2.0 + 4 * np.arange(5), 1.0 + 2 * np.arange(3)
    heat = PhraseMap(cells, rows, columns, (20, 6)).over_image()
    square = np.array(
        [
            [
                sum(
                    cells[a, b] * np.exp(-((i - a) ** 2 + (j - b) ** 2) / 2) / (2 * np.pi)
                    for a in range(5)
                    for b in range(3)
                )
                for j in range(3)
            ]
            for i in range(5)
        ]
    )
    for y, x in ((0, 0), (5, 2), (9, 3), (19, 5), (12, 0)):
        i, j = np.clip((y + 0.5 - 2) / 4, 0, 4), np.clip((x + 0.5 - 1) / 2, 0, 2)
        low, left = min(int(i), 3), min(int(j), 1)
        part = square[low : low + 2, left : left + 2]
        expected = np.array([1 - (i - low), i - low]) @ part @ np.array([1 - (j - left), j - left])
        assert heat[y, x] == pytest.approx(expected, rel=1e-5)


def test_a_maximum_at_the_edge_needs_evidence_there():
    """Two places of equal weight: beyond the corner there is nothing that could support it."""
    cells = np.zeros((6, 6), np.float32)
    cells[1, 1] = cells[1, 2] = cells[0, 5] = 1
    heat = PhraseMap(cells, 0.5 + np.arange(6), 0.5 + np.arange(6), (6, 6)).over_image()
    assert np.unravel_index(heat.argmax(), heat.shape) in ((1, 1), (1, 2))
