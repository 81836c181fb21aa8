"""`medistill embed`, `index` and `search`: their flags, and the table of hits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medistill.cli.terminal import print_json, say, stages
from medistill.serve.index.case import Hit
from medistill.system.private import files_for
from medistill.system.shown import in_line


def embed(
    model: str,
    /,
    *,
    data: Path,
    out: Path,
    device: str = "auto",
    group_readable: bool = False,
    json: bool = False,
) -> None:
    """Embed a corpus: an Arrow table with a row an image, to be indexed by `medistill index`.

    Example: medistill embed run --data corpus --out corpus.arrow

    A call that was stopped goes on where it was when it is given again. The table holds the reports.

    Args:
        model: Run or model folder; or hf:NAME or open_clip:NAME:WEIGHTS, as `medistill evaluate` takes them.
        data: Corpus folder written by `medistill prepare`; all of its splits are embedded.
        out: The file to write.
        device: Where the model runs: auto (the first card, else the CPU), cpu, cuda or cuda:N.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        json: Print what the table is as JSON on standard output.
    """
    from medistill.serve.index.embed import embed as run

    with files_for(group=group_readable), stages() as on_progress:
        record = run(model, data, out, device=device, on_progress=on_progress)
    if json:
        print_json(record)
    say(f"{record['images']:,} images, vectors of {record['dim']} numbers: {out}")


def index(
    table: Path | None = None,
    /,
    *,
    out: str,
    kind: Literal["exact", "usearch"] | None = None,
    delete: tuple[str, ...] = (),
    group_readable: bool = False,
    json: bool = False,
) -> None:
    """An index to search: made from an embedding table, or that table added to one that is there.

    Example: medistill index corpus.arrow --out index

    A study that is in the index already is replaced. Whatever stops the call, the index is whole.

    Args:
        table: File written by `medistill embed`; may be left out with --delete.
        out: Folder of the index, or postgresql://[USER@]HOST/DATABASE for one that is shared: docs/search.md.
        kind: `exact` compares all (default); `usearch` searches a graph, for a million images and more.
        delete: Ids of studies to remove first.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        json: Print what is in the index as JSON on standard output.
    """
    from medistill.serve.index.index import fill

    with files_for(group=group_readable), stages() as on_progress:
        record = fill(out, table, kind=kind, delete=delete, on_progress=on_progress)
    if json:
        print_json(record)
    changes = [f"{record[name]:,} {name}" for name in ("added", "replaced", "deleted") if record[name]]
    say(f"{', '.join(changes) or 'nothing changed'}; {record['images']:,} images in the index: {out}")


def search(
    index: str,
    /,
    *,
    text: str | None = None,
    image: Path | None = None,
    weight: float = 0.5,
    model: str | None = None,
    k: int = 10,
    view: tuple[str, ...] = (),
    sex: tuple[str, ...] = (),
    min_age: float | None = None,
    max_age: float | None = None,
    since: str | None = None,
    until: str | None = None,
    source: tuple[str, ...] = (),
    label: tuple[str, ...] = (),
    all_studies: bool = False,
    device: str = "auto",
    json: bool = False,
) -> None:
    """The nearest past studies to a text, an image, or both, with the first words of their reports.

    Example: medistill search index --text "large left pleural effusion" --view PA --min-age 60

    Args:
        index: Index written by `medistill index`: a folder, or postgresql://[USER@]HOST/DATABASE.
        text: What to look for, in the language of the reports.
        image: PNG, JPEG or DICOM file to look for the like of.
        weight: With both, what the image counts: 0 to 1.
        model: The model of the index, if it is not where it was when the corpus was embedded.
        k: How many studies.
        view: Only these views.
        sex: Only these sexes.
        min_age: In years, this age included.
        max_age: In years, this age included.
        since: From this date on, as 2020-01-31; dates are those of the corpus, which may be shifted.
        until: Up to this date, included.
        source: Only these sources.
        label: Findings that are present, all of them; `edema=0` for one that is absent.
        all_studies: Also more than one study of a patient.
        device: Where the model runs: auto (the first card, else the CPU), cpu, cuda or cuda:N.
        json: Print the hits with whole reports as JSON on standard output.
    """
    from medistill.serve.index.filters import Filters
    from medistill.serve.index.find import Query, as_json, find

    ages, dates = (min_age, max_age), (since, until)
    filters = Filters(views=view, sexes=sex, ages=ages, dates=dates, sources=source, labels=label)
    query = Query(text=text, image=image, weight=weight, k=k, filters=filters, per_patient=not all_studies)
    hits = find(index, query, model=model, device=device)
    if json:
        print_json(as_json(hits))
    else:
        print_hits(hits)


_COLUMNS = ("score", "study", "view", "sex", "age", "report")
_GAP, _LEAST = 2, 20
"""Characters between columns, and of a report on a narrow terminal."""


def print_hits(hits: Sequence[Hit]) -> None:
    """A row a study on standard output; reports are cut to a line."""
    if not hits:
        say("no study was found: none passes the filters, or the index is empty")
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
    """On one line each, whatever the corpus holds."""
    case = hit.case
    age = "" if case.age is None else f"{case.age:.0f}"
    cells = (
        f"{hit.score:.3f}",
        case.study_id,
        case.view or "",
        case.sex or "",
        age,
        case.text.strip() or "(no report)",
    )
    return tuple(map(in_line, cells))
