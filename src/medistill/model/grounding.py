"""Where an image holds what a phrase says: each place's share of their cosine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from medistill.data.image import letterbox_frame
from medistill.errors import MedistillError
from medistill.model.encoder import ImageTower

BLUR = 1.0
"""Standard deviation of the smoothing, in cells of the tower's grid."""
STATED = (
    "the contribution of each place to the cosine, to first order: (feature - mean feature of the image) . "
    "gradient of the cosine, at the deepest layer of those with the finest grid that the embedding is pooled "
    "from through its places; smoothed by a Gaussian of one cell, 0 beyond the image; bilinear between cells"
)


class NoPlacesError(MedistillError):
    """The tower has no features that stand for places."""


@dataclass(frozen=True)
class PhraseMap:
    """How much each place of one image adds to its cosine with a phrase; the map of the image's mean is 0."""

    cells: Float32[np.ndarray, "g k"]
    """Of the tower's grid, those whose center lies in the image and not in its letterbox."""
    rows: Float[np.ndarray, " g"]
    """Where their centers are, in pixels of the image from its upper edge."""
    columns: Float[np.ndarray, " k"]
    """The same from its left edge."""
    shape: tuple[int, int]
    """Height and width of the image, in pixels."""

    def over_image(self) -> Float32[np.ndarray, "h w"]:
        """The map at the image's own pixels: smoothed by `BLUR`, then bilinear."""
        down, across = _spread(self.shape[0], self.rows), _spread(self.shape[1], self.columns)
        return (down @ self.cells.astype(np.float64) @ across.T).astype(np.float32)


def _spread(pixels: int, centers: Float[np.ndarray, " g"]) -> Float[np.ndarray, "p g"]:
    """Weight of each cell at each pixel along one axis: less than 1 in sum at the edge, 0 lies beyond.

    Weights that sum to 1 there would draw maxima to the edge.
    """
    if len(centers) == 1:
        return np.ones((pixels, 1))
    step = centers[1] - centers[0]
    place = np.clip((np.arange(pixels) + 0.5 - centers[0]) / step, 0, len(centers) - 1)
    cell = np.arange(len(centers))
    linear = np.clip(1 - np.abs(place[:, None] - cell), 0, None)
    near = np.exp(-0.5 * ((cell[:, None] - cell) / BLUR) ** 2)
    return linear @ (near / np.sqrt(2 * np.pi) / BLUR)


def contributions(
    tower: ImageTower,
    images: Float[Tensor, "b c h w"],
    embed: Callable[[Tensor], Tensor],
    phrases: Float[Tensor, "b d"],
) -> tuple[Float[Tensor, "b e g k"], Float[Tensor, "b e g k"]]:
    """Features of places, and the gradient there of sum_i embed(tower(image_i)) . phrase_i.

    They are of the deepest layer among those with the finest grid through whose places the embedding comes:
    a class token does not look at the last layer's other tokens. NoPlacesError if no layer has a grid.
    """
    with torch.enable_grad():
        # The images ask for the gradient, so that frozen weights do not end the graph.
        output: Any = tower.backbone(images.detach().requires_grad_(), output_hidden_states=True)
        score = (embed(tower.pooled(output.last_hidden_state, images)) * phrases).sum()
        layers = [*(output.hidden_states or ()), output.last_hidden_state]
        grids = [tower.grid(layer, images) for layer in layers]
        finest = max((g.shape[2] * g.shape[3] for g in grids if g is not None), default=1)
        fine = [
            (layer, grid)
            for layer, grid in zip(layers, grids, strict=True)
            if grid is not None and grid.shape[2] * grid.shape[3] == finest > 1
        ]
        slopes = cast(  # torch's own annotation has no None
            "Sequence[Tensor | None]",
            torch.autograd.grad(score, [layer for layer, _ in fine], allow_unused=True) if fine else (),
        )
    for (_, grid), slope in reversed(list(zip(fine, slopes, strict=True))):
        there = None if slope is None else tower.grid(slope, images)
        if there is not None and bool(there.any()):
            return grid.detach(), there.detach()
    raise NoPlacesError("no layer of the image tower has features that stand for places")


def phrase_map(
    features: Float[Tensor, "e g k"], slope: Float[Tensor, "e g k"], shape: tuple[int, int], size: int
) -> PhraseMap:
    """The map of an image of that shape, letterboxed to a square of `size` pixels."""
    top, left, height, width = letterbox_frame(shape, size)
    rows = _centers(features.shape[1], size, top, height, shape[0])
    columns = _centers(features.shape[2], size, left, width, shape[1])
    inside = np.ix_(*(_within(axis, side) for axis, side in ((rows, shape[0]), (columns, shape[1]))))
    there, slopes = (part[:, inside[0], inside[1]].double() for part in (features, slope))
    cells = ((there - there.mean(dim=(1, 2), keepdim=True)) * slopes).sum(dim=0)
    return PhraseMap(cells.float().cpu().numpy(), rows[inside[0].ravel()], columns[inside[1].ravel()], shape)


def _centers(cells: int, size: int, start: int, length: int, pixels: int) -> Float[np.ndarray, " g"]:
    """Centers of the square's cells along one axis, in pixels of the image; outside it in the letterbox."""
    return ((np.arange(cells) + 0.5) * size / cells - start) * pixels / length


def _within(centers: Float[np.ndarray, " g"], pixels: int) -> np.ndarray:
    """Cells with their center in the image; of an image thinner than a cell, the one nearest to it."""
    inside = np.flatnonzero((centers >= 0) & (centers <= pixels))
    return inside if len(inside) else np.array([int(np.abs(centers - pixels / 2).argmin())])
