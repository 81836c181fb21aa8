"""The map of a phrase over an image, as it is sent and as it is said."""

import base64
from dataclasses import dataclass, replace

import numpy as np

from medistill.model.grounding import PhraseMap

SIDE = 256
"""Pixels of the longer side of a map: it is smooth, and its cells are far larger."""


@dataclass(frozen=True, kw_only=True)
class Heat:
    """What speaks for a phrase, where."""

    width: int
    height: int
    values: str
    """Base64 of uint8, row by row: 0 what does not speak for it, 255 what does most."""
    peak: tuple[float, float]
    """From the left and from the top, 0..1."""
    said: str


def heat_of(found: PhraseMap) -> Heat:
    """The map at the size it is sent in."""
    shrink = min(1.0, SIDE / max(found.shape))
    shape = (max(1, round(found.shape[0] * shrink)), max(1, round(found.shape[1] * shrink)))
    down, across = shape[0] / found.shape[0], shape[1] / found.shape[1]
    values = replace(found, rows=found.rows * down, columns=found.columns * across, shape=shape).over_image()
    row, column = np.unravel_index(int(values.argmax()), shape)
    peak = (float((column + 0.5) / shape[1]), float((row + 0.5) / shape[0]))
    top = float(values.max())
    grey = np.clip(values * (255 / top) + 0.5, 0, 255) if top > 0 else np.zeros(shape)
    return Heat(
        width=shape[1],
        height=shape[0],
        values=base64.b64encode(grey.astype(np.uint8).tobytes()).decode(),
        peak=peak,
        said=_said(peak) if top > 0 else "No place of the picture speaks for the phrase.",
    )


def _said(peak: tuple[float, float]) -> str:
    across = ("left", "middle", "right")[min(2, int(3 * peak[0]))]
    down = ("upper", "middle", "lower")[min(2, int(3 * peak[1]))]
    where = "in the middle" if across == down else f"in the {down} {across}"
    return (
        f"What speaks most for the phrase lies {where} of the picture, {peak[0]:.0%} from its left edge and "
        f"{peak[1]:.0%} from its top."
    )
