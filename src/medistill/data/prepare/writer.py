"""Write a corpus: checked, streamed, complete or not there at all."""

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from medistill import __version__
from medistill.data.columns import corpus_schema
from medistill.data.corpus import CARD, FORMAT, TABLE
from medistill.data.prepare.rejects import REJECTS, RejectLog, path_id
from medistill.data.prepare.tally import Tally, row_digest
from medistill.data.prepare.unfinished import (
    BEGINNING,
    Commit,
    OtherUnitsError,
    Place,
    Unfinished,
    unfinished,
)
from medistill.data.split import check_fractions
from medistill.data.study import Reject, Study
from medistill.errors import CallError, MedistillError
from medistill.system.atomic import sync_folder
from medistill.system.checksums import SUMS, add_sums, write_checked
from medistill.system.private import private_files

log = logging.getLogger(__name__)
_BATCH_ROWS, _BATCH_BYTES = 256, 32_000_000
Results = Callable[[Place], Iterator[tuple[Place, Sequence[Study | Reject]]]]
"""What comes of each unit of a source behind a place, with the place behind that unit."""


@private_files()
def write_corpus(
    results: Results,
    out: Path,
    *,
    source: str,
    made_with: Mapping[str, object],
    findings: Sequence[str] | None = None,
    notes: Mapping[str, Any] | None = None,
    val: float = 0.1,
    test: float = 0.1,
    allow_rejects: bool = False,
    show_paths: bool = False,
    path_name: Callable[[str], str] = path_id,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write the studies as a corpus folder and return its card.

    Written into a hidden folder beside `out` and renamed at the end: a killed run leaves no half corpus, and
    the same call goes on after the last rows it had saved. Nothing in the corpus depends on the time, the
    machine or the kills, so the same input gives the same bytes.

    source        name of the kind of source, for the card
    made_with     the options it was read with, for the card
    findings      names of all findings the studies may be labeled with; None if they carry no labels
    notes         more entries of the card
    path_name     id of a rejected file, which takes the place of its path
    on_progress   called with the number of studies and rejects seen so far
    """
    check_fractions(val, test)
    out = out.absolute()
    card = {"format": FORMAT, "medistill": __version__, "source": source}
    card |= {"made_with": {**made_with, "val": val, "test": test}}
    tally, rejects = Tally(tuple(findings or ()), val=val, test=test), RejectLog(show_paths, path_name)
    start = {**card, "findings": tally.findings, "show_paths": show_paths}
    try:
        check_free(out)
        with unfinished(out, corpus_schema(tally.findings), start) as partial:
            pending = _Pending(partial, tally, rejects)
            pending.restore()
            pending.add_all(results, on_progress)
            _check(partial, tally, rejects, out, allow_rejects)
            pending.commit()
            card |= tally.card() | rejects.card() | dict(notes or {}) | {"units": pending.place.card()}
            _complete(partial, rejects, card, out)
    except OSError as error:
        where = f" ({Path(error.filename).name})" if error.filename else ""
        raise MedistillError(
            f"the corpus cannot be written: {error.strerror or 'input or output failed'}{where}"
        ) from error
    return card


class _Pending:
    """Rows and rejects on their way to the disk, a batch at a time."""

    def __init__(self, partial: Unfinished, tally: Tally, rejects: RejectLog) -> None:
        self.partial, self.tally, self.rejects = partial, tally, rejects
        self.place = BEGINNING
        self._begin()

    def _begin(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._digests: list[str] = []
        self._held = 0
        self._rejects_saved = len(self.rejects.lines)

    def restore(self) -> None:
        """Count what a stopped run had written, and stand behind it."""
        commits = self.partial.commits
        digests = itertools.chain.from_iterable(commit.digests for commit in commits)
        for row, digest in zip(self.partial.rows(), digests, strict=True):
            self.tally.count(row, bytes.fromhex(digest))
        self.rejects.lines += [line for commit in commits for line in commit.rejects]
        if commits:
            self.place = commits[-1].place
            log.info("going on after %s studies and rejects that are saved", f"{self.place.items:,}")
        self._begin()

    def add_all(self, results: Results, on_progress: Callable[[int], None] | None) -> None:
        """What the source gives behind this place; OtherUnitsError if the saved part is of no use."""
        try:
            for place, items in results(self.place):
                self.add(place, items)
                if on_progress:
                    on_progress(place.items)
        except OtherUnitsError:
            self.partial.clear()
            raise

    def add(self, place: Place, items: Sequence[Study | Reject]) -> None:
        """What came of one unit; batches end with a unit, so that a run can go on behind it."""
        for item in items:
            if isinstance(item, Reject):
                self.rejects.add(item)
                continue
            for row in self.tally.rows(item):
                digest = row_digest(row)
                self.tally.count(row, digest)
                self._rows.append(row)
                self._digests.append(digest.hex())
                self._held += len(row["image"])
        self.place = place
        if len(self._rows) >= _BATCH_ROWS or self._held > _BATCH_BYTES:
            self.commit()

    def commit(self) -> None:
        lines = self.rejects.lines[self._rejects_saved :]
        if self._rows or lines:
            self.partial.commit(self._rows, Commit(place=self.place, digests=self._digests, rejects=lines))
        self._begin()


def check_free(out: Path) -> None:
    """CallError where something is that the corpus would have to take the place of."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CallError(f"{out} is there already: name another folder, or remove it first")
    except OSError as error:
        raise CallError(f"cannot make the folder {out}: {error.strerror}") from error


def _check(partial: Unfinished, tally: Tally, rejects: RejectLog, out: Path, allow_rejects: bool) -> None:
    """What only the whole source can show; a source that has to be mended is read anew then."""
    try:
        tally.check()
    except CallError:
        partial.clear()
        raise
    _check_rejects(rejects, tally.images, out, allow_rejects)


def _complete(partial: Unfinished, rejects: RejectLog, card: Mapping[str, Any], out: Path) -> None:
    """The files beside the table, and the folder's own name."""
    (partial.folder / SUMS).unlink(missing_ok=True)  # of a run that was killed at its end
    _describe(partial.folder, partial.schema)
    rejects.write(partial.folder / REJECTS)
    add_sums(partial.folder, REJECTS)
    write_checked(partial.folder / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    partial.close()
    partial.folder.rename(out)
    sync_folder(out.parent)


def _describe(folder: Path, schema: pa.Schema) -> None:
    """The two small files that let `datasets.load_from_disk` open the folder."""
    from datasets import Features  # half a second to import, and only the writer needs it

    features = Features.from_arrow_schema(schema).to_dict()
    write_checked(folder / "dataset_info.json", json.dumps({"features": features}))
    state = {"_data_files": [{"filename": TABLE}], "_fingerprint": "0" * 16, "_split": None}
    state |= {
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
    }
    write_checked(folder / "state.json", json.dumps(state))


def _check_rejects(rejects: RejectLog, accepted: int, out: Path, allowed: bool) -> None:
    if accepted and (allowed or rejects.count <= 0.1 * (accepted + rejects.count)):
        return
    kept = out.parent / f"{out.name}.{REJECTS}"
    rejects.write(kept)
    counted = f"{rejects.count:,} of {accepted + rejects.count:,} rows rejected"
    if rejects.count:
        counted += f", most often: {rejects.most_frequent()}; all are listed in {kept}"
    if not accepted:
        raise MedistillError(f"no usable row: {counted}")
    raise MedistillError(
        f"{counted}. More than 10 % is an error: mend the source, or go on with --allow-rejects"
    )
