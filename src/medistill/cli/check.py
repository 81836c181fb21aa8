"""`medistill check`: its flags, and the table it prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from medistill.cli.terminal import console, print_json, say, stages
from medistill.data.check.flag import MARKS
from medistill.errors import CallError, MedistillError
from medistill.system.private import files_for
from medistill.system.shown import on_terminal


def check(
    corpus: Path,
    /,
    *,
    out: Path | None = None,
    with_cases: bool = False,
    show_ids: bool = False,
    group_readable: bool = False,
    verify: bool = False,
    json: bool = False,
) -> None:
    """Whether a corpus leaks between its splits or is broken: a table, check.json and page.html.

    Example: medistill check corpus

    Exits with 1 if patients, studies or images are in two splits, or if images cannot be read.

    Args:
        corpus: Corpus folder written by `medistill prepare`; nothing is written into it. With --verify also a
            model, a run, an evaluation, an embedding table, an index or an export.
        out: Folder to write check.json and page.html into; CORPUS.check if not named.
        with_cases: Put images of the worst cases on the page: they are patient data.
        show_ids: Name study and patient ids in check.json beside the salted ones.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        verify: Only compare every byte of the files with their checksums; nothing is written.
        json: Print check.json on standard output.
    """
    from medistill.data.check.report import check_and_write

    if verify:
        compare_files(corpus, json)
        return
    out = out or corpus.absolute().with_name(f"{corpus.absolute().name}.check")
    if with_cases:
        say("page.html will hold images of the corpus: treat it as patient data")
    with files_for(group=group_readable), stages() as on_progress:
        report = check_and_write(
            corpus, out, with_cases=with_cases, show_ids=show_ids, on_progress=on_progress
        )
    if json:
        print_json(report)
    console.print(table(report))
    say(f"page: {out / 'page.html'}")
    if not report["passed"]:
        raise MedistillError(report["verdict"])


def compare_files(path: Path, as_json: bool) -> None:
    """Whether the files of a folder, or one file, are as they were written; MedistillError naming the others.

    CallError where none has a checksum.
    """
    from medistill.system.checksums import differing

    if not path.exists():
        raise CallError(f"no such file or folder: {path}")
    others, compared = differing(path)
    if not compared:
        raise CallError(f"{path} has no checksums: written by an earlier version, or not by medistill")
    if as_json:
        print_json({"compared": compared, "differing": others})
    if others:
        raise MedistillError(
            f"{len(others)} of {compared} files are not as they were written: {', '.join(others)}; copy them "
            "again, or write them anew"
        )
    say(f"{compared} files are as they were written")


def table(report: Mapping[str, Any]) -> Table:
    """A row a check, and a line for each thing it found."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(2):
        shown.add_column("", no_wrap=True)
    shown.add_column("", overflow="fold")
    for check in report["checks"].values():
        mark, style = MARKS[check["state"]]
        said = "\n".join(flag["said"] for flag in check["flags"])
        shown.add_row(Text(mark, style), Text(check["title"]), Text(on_terminal(said)))
    return shown
