"""Where what is asked for lies: in an image as a map, in a report as its nearest sentences."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from medistill.data.report.sentences import sentences
from medistill.model.grounding import PhraseMap
from medistill.serve.app.forms import HeatAnswer

SIDE = 256
"""Pixels of the longer side of a map: it is smooth, and its cells are far larger."""
MOST = 2
"""Sentences that are marked in a report."""
_BELOW_BEST = 0.1  # cosine of the second sentence, less than that of the first


def heat_of(phrase: PhraseMap) -> HeatAnswer:
    """What speaks for the phrase, at the size it is sent in: 0 what does not, 255 what does most."""
    shrink = min(1.0, SIDE / max(phrase.shape))
    shape = (max(1, round(phrase.shape[0] * shrink)), max(1, round(phrase.shape[1] * shrink)))
    down, across = shape[0] / phrase.shape[0], shape[1] / phrase.shape[1]
    shrunk = replace(phrase, rows=phrase.rows * down, columns=phrase.columns * across, shape=shape)
    values = shrunk.over_image()
    row, column = np.unravel_index(int(values.argmax()), shape)
    x, y = float((column + 0.5) / shape[1]), float((row + 0.5) / shape[0])
    top = float(values.max())
    grey = np.clip(values * (255 / top) + 0.5, 0, 255) if top > 0 else np.zeros(shape)
    return HeatAnswer(
        width=shape[1],
        height=shape[0],
        values=base64.b64encode(grey.astype(np.uint8).tobytes()).decode(),
        peak=[x, y],
        said=_said(x, y) if top > 0 else "No place of the picture speaks for the phrase.",
    )


def _said(x: float, y: float) -> str:
    across = ("left", "middle", "right")[min(2, int(3 * x))]
    down = ("upper", "middle", "lower")[min(2, int(3 * y))]
    where = "in the middle" if across == down else f"in the {down} {across}"
    return (
        f"What speaks most for the phrase lies {where} of the picture, {x:.0%} from its left edge and "
        f"{y:.0%} from its top."
    )


def sentence_spans(report: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, in characters of the report."""
    spans: list[tuple[int, int]] = []
    end = 0
    for sentence in sentences(report):
        # Cleaning has made one blank of all white space in a sentence.
        words = re.compile(r"\s+".join(map(re.escape, sentence.split())))
        if place := words.search(report, end):
            end = place.end()
            spans.append(place.span())
    return spans


def least_cosine(cosines: Float32[np.ndarray, " n"]) -> float:
    """From where on a sentence is marked: a standard deviation above the mean of all those shown.

    Relative, for a model's texts may all lie near each other.
    """
    return float(cosines.mean() + cosines.std()) if len(cosines) else 1.0


def marked(
    spans: Sequence[tuple[int, int]], cosines: Float32[np.ndarray, " s"], least: float
) -> list[tuple[int, int]]:
    """The spans, in order, of the sentences of a report that are nearest to the text.

    At most `MOST`: the nearest, if its cosine is `least` or more, and another that is nearly as near.
    Nearness is of the subject: to a small text encoder "no effusion" lies near "effusion".
    """
    if not len(spans):
        return []
    order = np.argsort(-cosines, kind="stable")[:MOST]
    bound = max(least, float(cosines[order[0]]) - _BELOW_BEST)
    return sorted(spans[place] for place in order if cosines[place] >= bound)
