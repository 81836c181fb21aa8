"""The page's cases: images with the reports nearest to them."""

from collections.abc import Sequence

from medistill.evaluate.tasks.examples import Example
from medistill.html.markup import Html, section, tag
from medistill.html.picture import data_url

WITHHELD = (
    "Images and report texts are left out of this page, because the corpus is not made of phantoms. "
    "medistill evaluate --with-cases adds six images of this split, their reports, and the three reports "
    "nearest to each: do that only where whoever opens the page may see them."
)


def cases_section(examples: Sequence[Example], texts: int, *, shown: bool, split: str = "") -> Html | None:
    """The examples, or a word on why they are not here.

    texts   how many distinct reports they were ranked among
    split   named in the heading, where a page holds several
    """
    if shown and not examples:
        return None
    note = (
        "Drawn at random from the studies whose report is theirs alone: the three reports nearest to each "
        f"image among {texts:,} distinct ones, with their rank; the "
        "study's own report is marked, and added where it is not among them."
    )
    cases = [_case(number, example) for number, example in enumerate(examples, 1)] if shown else []
    place = f"cases-{split}" if split else "cases"
    return section(
        place,
        f"Images and their nearest reports{f': split {split}' if split else ''}",
        tag("p", note if shown else WITHHELD, class_="note"),
        tag("div", cases, class_="cases") if cases else None,
    )


def _case(number: int, example: Example) -> Html:
    shown = list(enumerate(example.nearest, start=1))
    if example.own_rank > len(shown):
        shown.append((example.own_rank, example.own))
    picture = tag("img", src=data_url(example.image), alt=f"Image {number} of this split")
    reports = [_report(place, text, own=place == example.own_rank) for place, text in shown]
    return tag("article", tag("div", picture, class_="film"), tag("ol", reports), class_="case")


def _report(place: int, text: str, *, own: bool) -> Html:
    label = f"{place} · ✓ the study's own report" if own else f"{place}"
    return tag("li", tag("span", label, class_="rank"), tag("p", text), class_="own" if own else None)
