"""The prompts of a figure, to unfold."""

from collections.abc import Mapping, Sequence

from medistill.evaluate.prompts.prompts import SIDES
from medistill.html.markup import Html, tag


def prompts_details(prompts: Mapping[str, Mapping[str, Sequence[str]]], title: str) -> Html:
    """Every prompt, folded."""
    rows: list[Html] = []
    for finding, sides in prompts.items():
        lists = [tag("ul", [tag("li", text) for text in sides[side]]) for side in SIDES]
        rows.append(tag("tr", tag("th", finding, scope="row"), [tag("td", texts) for texts in lists]))
    return tag(
        "details",
        tag("summary", title, style="margin: 14px 0 0; cursor: pointer"),
        prompts_table(("Finding", "Present", "Absent"), rows),
    )


def prompts_table(columns: Sequence[str], rows: Sequence[Html]) -> Html:
    head = tag("tr", [tag("th", name, scope="col") for name in columns])
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag("div", table, class_="card prompts", style="margin-top: 14px; overflow-x: auto")
