"""The page's grounding: figures by finding, and maps of phrases over images."""

from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.tasks.grounding import Pointed, pointing
from medistill.html.picture import data_url

_SIDE = 128
"""Pixels of one panel's longer side: two of them fit the largest picture of a page."""
_COLUMNS = ("pointing_game", "pointing_game_center", "pointing_game_chance", "cnr_signed")


def grounding(evaluation: Evaluation, *, shown: bool) -> dict[str, Any] | None:
    """The figures by finding, best first, and the maps if cases are shown."""
    entries = evaluation.metrics.get("grounding")
    if not entries or entries["pointing_game"]["value"] is None:
        return None
    names = [name.partition("/")[2] for name in entries if name.startswith("pointing_game/")]
    names.sort(key=lambda name: (-float(entries[f"pointing_game/{name}"]["value"] or 0), name))
    return {
        "rows": [(name, [entries[f"{column}/{name}"] for column in _COLUMNS]) for name in names],
        "cases": [_case(case) for case in evaluation.pointed] if shown else [],
    }


def _case(case: Pointed) -> dict[str, Any]:
    return {
        "finding": case.finding,
        "inside": pointing(case.heat, case.region) > 0,
        "picture": data_url(panels(case)),
    }


def panels(case: Pointed) -> UInt8[np.ndarray, "h w"]:
    """The image and the map beside each other, both with the mark's outline and a cross at the maximum."""
    scale = _SIDE / max(case.image.shape)
    height, width = (max(1, round(side * scale)) for side in case.image.shape)
    low, high = float(case.heat.min()), float(case.heat.max())
    heat = np.rint(255 * (case.heat - low) / (high - low or 1)).astype(np.uint8)
    region = _resized(255 * case.region.astype(np.uint8), height, width, Image.Resampling.NEAREST) > 0
    row, column = np.unravel_index(case.heat.argmax(), case.heat.shape)
    cross = _cross(region.shape, int((row + 0.5) * scale), int((column + 0.5) * scale))
    both = [
        _traced(_resized(picture, height, width, Image.Resampling.BICUBIC), region, cross)
        for picture in (case.image, heat)
    ]
    return np.hstack(both)


def _resized(
    picture: UInt8[np.ndarray, "h w"], height: int, width: int, how: Image.Resampling
) -> UInt8[np.ndarray, "y x"]:
    return np.array(Image.fromarray(picture).resize((width, height), how))


def _cross(shape: tuple[int, ...], row: int, column: int, arm: int = 5) -> Bool[np.ndarray, "h w"]:
    drawn = np.zeros(shape, bool)
    for step in range(-arm, arm + 1):
        for y, x in ((row + step, column + step), (row + step, column - step)):
            if 0 <= y < shape[0] and 0 <= x < shape[1]:
                drawn[y, x] = True
    return drawn


def _traced(
    picture: UInt8[np.ndarray, "h w"], region: Bool[np.ndarray, "h w"], cross: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """Lines in white with a black rim, so that they show on any grey."""
    inner, line = np.asarray(binary_erosion(region), bool), cross.copy()
    line |= region & ~inner
    drawn = picture.copy()
    drawn[np.asarray(binary_dilation(line), bool)] = 0
    drawn[line] = 255
    return drawn
