"""From a source to a corpus, the costly part in several processes."""

import functools
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from medistill.data.corpus import CARD
from medistill.data.ids import KnownIds, counted_kinds
from medistill.data.prepare.deidentify import Deidentifier
from medistill.data.prepare.file_by_file import Items, read_isolated
from medistill.data.prepare.on_ray import read_on_ray, require_ray
from medistill.data.prepare.rejects import path_id
from medistill.data.prepare.unfinished import BEGINNING, OtherUnitsError, Place
from medistill.data.prepare.writer import check_free, write_corpus
from medistill.data.sources import Reading, Source
from medistill.data.sources.parts.draft import Draft, ScannedSource
from medistill.data.study import Reject, Study
from medistill.errors import CallError
from medistill.system.checksums import read_checked
from medistill.system.isolated import IsolatedPool, cores
from medistill.system.progress import Progress

log = logging.getLogger(__name__)
Engine = Literal["local", "ray"]
"""Who runs the processes that read: this one, or Ray Data."""


def prepare(
    source: Source,
    out: Path,
    *,
    engine: Engine = "local",
    workers: int = 0,
    limit: int = 0,
    val: float = 0.1,
    test: float = 0.1,
    allow_rejects: bool = False,
    show_paths: bool = False,
    deidentify: Deidentifier | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Read a source and write it as a corpus; returns the card. Neither `engine` nor `workers` changes it.

    A run that was stopped is gone on with, and a complete one left as it is, by the same call on the same
    source. Image files that changed meanwhile under the same names are not noticed.

    workers      processes that read files, with limits on memory and time, so that a harmful file costs no
                 other; 0 reads them in this process. A script must start its work under
                 `if __name__ == "__main__":`, because the processes import it. With engine "ray", 0 takes
                 one a processor that Ray has.
    limit        stop after so many studies and rejects; 0 for all
    deidentify   gives studies and patients other ids; splits stay as they would be without it
    """
    _check_call(engine, workers, limit)
    made_with = _made_with(source, limit, deidentify)
    card = _card_of(out, {**made_with, "val": val, "test": test}, source.name)
    if deidentify and show_paths:
        log.warning("--show-paths: rejected.csv will name files as the source does, keep it from the corpus")
    if card is None:
        check_free(out)  # before the source is read, which may take long
    scanners = workers or (cores() if engine == "ray" else 0)
    opened = functools.partial(_opened, source, limit, scanners, on_progress)
    reading = opened()
    if card is not None and _is_complete(card, reading):
        log.info("%s is complete, and made of the same source: nothing to do", out)
        return card
    stage = _Stage(on_progress, f"preparing {source.name}", reading.expected)
    write = functools.partial(
        write_corpus,
        out=out,
        source=source.name,
        made_with=made_with,
        findings=reading.findings,
        val=val,
        test=test,
        allow_rejects=allow_rejects,
        show_paths=show_paths,
        path_name=deidentify.path_id if deidentify else path_id,
        on_progress=stage,
    )
    change = functools.partial(deidentify, val=val, test=test) if deidentify else None
    known = KnownIds()
    read = functools.partial(results, engine=engine, workers=workers, change=change, known=known)
    card = _written(write, read, reading, opened)
    stage.end()
    _say_unified(known)
    return card


def _written(
    write: Callable[..., dict[str, Any]],
    read: Callable[..., Any],
    reading: Reading,
    opened: Callable[[], Reading],
) -> dict[str, Any]:
    """The card of the corpus; from the beginning if the source no longer comes by where a run was stopped."""
    try:
        return write(functools.partial(read, reading), notes=reading.notes)
    except OtherUnitsError:
        log.info("the source has changed since the run that was stopped: beginning again")
        reading = opened()
        return write(functools.partial(read, reading), notes=reading.notes)


def _check_call(engine: Engine, workers: int, limit: int) -> None:
    if workers < 0 or limit < 0:
        raise CallError(f"workers is {workers} and limit {limit}: neither can be negative")
    if engine == "ray":
        require_ray()


def _made_with(source: Source, limit: int, deidentify: Deidentifier | None) -> dict[str, Any]:
    """What a run that goes on must have been begun with."""
    made_with = source.made_with() | ({"limit": limit} if limit else {})
    return made_with | ({"deidentified_by": deidentify.fingerprint} if deidentify else {})


def _say_unified(known: KnownIds) -> None:
    if known.unified:
        log.info("%s other spellings of patient ids: %s", f"{known.unified:,}", counted_kinds(known.kinds))


def studies(reading: Reading, *, workers: int = 0) -> Iterator[Study | Reject]:
    """The studies and rejects of an opened source, in its order."""
    return itertools.chain.from_iterable(items for _, items in results(reading, workers=workers))


def results(
    reading: Reading,
    after: Place = BEGINNING,
    *,
    engine: Engine = "local",
    workers: int = 0,
    change: Callable[[Study], Study] | None = None,
    known: KnownIds | None = None,
) -> Iterator[tuple[Place, Items]]:
    """What comes of each unit behind a place, with the place behind it; `change` is applied to its studies.

    known   takes the ids of their patients, of whom `change` is given the first spelling
    OtherUnitsError if the source does not come by the place.
    """
    place, known = BEGINNING, known or KnownIds()
    units = _noted(reading.units, known) if change else iter(reading.units)
    for unit in itertools.islice(units, after.units):
        place = place.after(unit, 0)
    if place.sha256 != after.sha256:
        raise OtherUnitsError
    place = after
    if place.items == reading.studies:
        return
    for unit, items in _read(reading, units, engine, workers, _left(reading, place)):
        items = items[: _left(reading, place)]
        if change:
            items = [_changed(item, change, known) if isinstance(item, Study) else item for item in items]
        place = place.after(unit, len(items))
        yield place, items
        if place.items == reading.studies:
            return


def _noted(units: Iterable[Any], known: KnownIds) -> Iterator[Any]:
    """The units, their patients' ids noted in this order: the same for a run that is gone on with."""
    for unit in units:
        if isinstance(unit, Draft):
            known.first(unit.study.patient_id)
        yield unit


def _changed(study: Study, change: Callable[[Study], Study], known: KnownIds) -> Study:
    """Changed under the first spelling of its patient's id: two would become two people for good."""
    return change(replace(study, patient_id=known.first(study.patient_id)))


def _left(reading: Reading, place: Place) -> int | None:
    """Studies and rejects still to be read; None for all there are."""
    return None if reading.studies is None else reading.studies - place.items


def _read(
    reading: Reading, units: Iterator[Any], engine: Engine, workers: int, left: int | None
) -> Iterator[tuple[Any, Items]]:
    if engine == "ray":
        yield from read_on_ray(units, reading.work, workers=workers, wanted=left)
    elif workers:
        with IsolatedPool(workers) as pool:
            yield from read_isolated(units, reading.work, pool)
    else:
        yield from ((unit, reading.work(unit)) for unit in units)


def _opened(source: Source, limit: int, workers: int, on_progress: Progress | None) -> Reading:
    """The source opened, to be read as far as `limit`."""
    is_scanned = isinstance(source, ScannedSource)
    reading = source.scan(workers, on_progress) if is_scanned else source.open()
    if not limit:
        return reading
    return replace(reading, studies=_least(limit, reading.studies), expected=_least(limit, reading.expected))


def _least(limit: int, count: int | None) -> int:
    return limit if count is None else min(limit, count)


class _Stage:
    """Tells how far one stage is, and at its end that it is done, however many were expected."""

    def __init__(self, on_progress: Progress | None, stage: str, expected: int | None) -> None:
        self._on_progress, self._stage, self._expected = on_progress, stage, expected
        self._done: int | None = None

    def __call__(self, done: int) -> None:
        self._done = done
        self._tell(done, None if self._expected is None else max(done, self._expected))

    def end(self) -> None:
        if self._done is not None and self._done != self._expected:
            self._tell(self._done, self._done)

    def _tell(self, done: int, total: int | None) -> None:
        if self._on_progress:
            self._on_progress(self._stage, done, total)


def _card_of(out: Path, made_with: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    """The card of the corpus in `out` if it was made of such a source with these options."""
    try:
        card: Any = json.loads(read_checked(out / CARD))
        same = card["source"] == source and card["made_with"] == json.loads(json.dumps(made_with))
        return card if same and card["units"] else None
    except (OSError, ValueError, KeyError, TypeError):  # no card of this version: what is there stays
        return None


def _is_complete(card: Mapping[str, Any], reading: Reading) -> bool:
    """Whether the source still gives the units that the corpus was made of, and no more."""
    place, units = BEGINNING, iter(reading.units)
    for unit in itertools.islice(units, card["units"]["count"]):
        place = place.after(unit, 0)
    more = reading.studies is None and next(units, None) is not None
    return place.sha256 == card["units"]["sha256"] and not more
