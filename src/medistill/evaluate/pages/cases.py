"""The page's cases: images with the reports nearest to them."""

from collections.abc import Sequence
from typing import Any

from medistill.evaluate.tasks.examples import Example
from medistill.html.picture import data_url


def case_group(examples: Sequence[Example], texts: int, *, shown: bool, split: str = "") -> dict[str, Any]:
    """The examples of a split, or without any a word on why they are not here.

    texts   how many distinct reports they were ranked among
    split   named in the heading, where a page holds several
    """
    return {"split": split, "texts": texts, "cases": [_case(e) for e in examples] if shown else []}


def _case(example: Example) -> dict[str, Any]:
    """The image, and its reports each with its rank."""
    reports = list(enumerate(example.nearest, start=1))
    if example.own_rank > len(reports):
        reports.append((example.own_rank, example.own))
    return {"picture": data_url(example.image), "reports": reports, "own_rank": example.own_rank}
