"""What a search found, as a table for the terminal of whoever asked."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medistill.reporting import say
from medistill.serve.index.case import Hit

_COLUMNS = ("score", "study", "view", "sex", "age", "report")


def print_hits(hits: Sequence[Hit]) -> None:
    """A row a study on standard output; reports are cut to a line."""
    if not hits:
        say("no study passes the filters")
        return
    rows = [_cells(hit) for hit in hits]
    table = Table(box=None, pad_edge=False)
    for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True):
        least = len(name) if name == "report" else max(map(len, column))  # only reports are cut
        justify = "right" if name in ("score", "age") else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", min_width=least)
    for row in rows:
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table)


def _cells(hit: Hit) -> tuple[str, ...]:
    case = hit.case
    age = "" if case.age is None else f"{case.age:.0f}"
    report = " ".join(case.text.split()) or "(no report)"
    return f"{hit.score:.3f}", case.study_id, case.view or "", case.sex or "", age, report
