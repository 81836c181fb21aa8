"""What a search found, as a table for the terminal of whoever asked."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medistill.reporting import say
from medistill.serve.index.case import Hit

_COLUMNS = ("score", "study", "view", "sex", "age", "report")
_GAP, _LEAST = 2, 20
"""Characters between columns, and of a report on a narrow terminal."""


def print_hits(hits: Sequence[Hit]) -> None:
    """A row a study on standard output; reports are cut to a line."""
    if not hits:
        say("no study passes the filters")
        return
    console = Console(highlight=False)
    rows = [_cells(hit) for hit in hits]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    widths[-1] = max(_LEAST, console.width - sum(widths[:-1]) - _GAP * (len(widths) - 1))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for name, width in zip(_COLUMNS, widths, strict=True):
        justify = "right" if name in ("score", "age") else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table, crop=False)


def _cells(hit: Hit) -> tuple[str, ...]:
    case = hit.case
    age = "" if case.age is None else f"{case.age:.0f}"
    report = " ".join(case.text.split()) or "(no report)"
    return f"{hit.score:.3f}", case.study_id, case.view or "", case.sex or "", age, report
