"""The page's grounding: figures by finding, and maps of phrases over images."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.statistics.interval import Entry
from medistill.evaluate.tasks.grounding import Pointed, pointing
from medistill.html.markup import Html, section, tag
from medistill.html.picture import data_url
from medistill.html.words import in_words

_SIDE = 128
"""Pixels of one panel's longer side: two of them fit the largest picture of a page."""
_COLUMNS = {
    "pointing_game": "Pointing game",
    "pointing_game_center": "Image's middle",
    "pointing_game_chance": "Chance",
    "cnr_signed": "Contrast to noise",
}


def grounding_section(evaluation: Evaluation, *, shown: bool) -> Html | None:
    """A table by finding, and the maps if cases are shown."""
    entries = evaluation.metrics.get("grounding")
    if not entries or entries["pointing_game"]["value"] is None:
        return None
    note = (
        "Pointing game: the share of marked findings in whose mark the map of the finding's prompts has its "
        "maximum, against pointing at the middle of every image and at a place drawn at random. Contrast to "
        "noise has its sign here: below 0 the map is lower where the finding is."
    )
    return section(
        "grounding",
        "Where the phrases point",
        tag("p", note, class_="note"),
        tag("div", _table(entries), class_="card"),
        _cases(evaluation.pointed) if shown and evaluation.pointed else None,
    )


def _table(entries: Mapping[str, Entry]) -> Html:
    head = tag(
        "tr",
        tag("th", "Finding", scope="col"),
        [tag("th", name, scope="col", class_="number") for name in _COLUMNS.values()],
        tag("th", "Marks", scope="col", class_="number wide"),
    )
    names = [name.partition("/")[2] for name in entries if name.startswith("pointing_game/")]
    names.sort(key=lambda name: (-float(entries[f"pointing_game/{name}"]["value"] or 0), name))
    rows = [_row(name, {column: entries[f"{column}/{name}"] for column in _COLUMNS}) for name in names]
    return tag("table", tag("thead", head), tag("tbody", rows))


def _row(name: str, figures: Mapping[str, Entry]) -> Html:
    cells: list[Html] = []
    for entry in figures.values():
        value, interval = in_words(entry)
        between = tag("span", tag("br"), interval, class_="quiet")
        cells.append(tag("td", value, between, class_="number"))
    marks = f"{figures['pointing_game']['n_marks']:,}"
    return tag("tr", tag("th", name, scope="row"), cells, tag("td", marks, class_="number quiet wide"))


def _cases(pointed: tuple[Pointed, ...]) -> Html:
    note = (
        "Drawn at random, of different findings. Left the image, right the map: the brighter, the more the "
        "place speaks for the phrase. The line is the source's mark, the cross the map's maximum."
    )
    cases = [tag("article", _case(number, case), class_="case") for number, case in enumerate(pointed, 1)]
    return tag("div", tag("p", note, class_="note"), tag("div", cases, class_="cases"))


def _case(number: int, case: Pointed) -> list[Html]:
    inside = pointing(case.heat, case.region) > 0
    verdict = "✓ inside the mark" if inside else "✗ outside the mark"
    words = f"Image {number} and its map for {case.finding}; the maximum is {verdict[2:]}"
    picture = tag("img", src=data_url(panels(case)), alt=words)
    label = tag("span", f"{case.finding} · {verdict}", class_="rank")
    return [tag("div", picture, class_="film"), tag("ol", tag("li", label, class_="own" if inside else None))]


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
