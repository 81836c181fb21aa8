"""Units read in isolated processes; a harmful file costs its study that file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from medistill.data.sources.parts.draft import Draft
from medistill.data.study import Reject, Study
from medistill.errors import MedistillError
from medistill.system.isolated import GaveUp, IsolatedPool

Items = Sequence[Study | Reject]
Work = Callable[[Any], tuple[Study | Reject, ...]]


def read_isolated(units: Iterable[Any], work: Work, pool: IsolatedPool) -> Iterator[tuple[Any, Items]]:
    """Each unit with what comes of it, in order."""
    for unit, result in pool.map(work, units, _files):
        yield unit, _file_by_file(unit, result, work, pool) if isinstance(result, GaveUp) else result


def _files(unit: Any) -> int:
    return len(unit.files) if isinstance(unit, Draft) else 1


def _file_by_file(unit: Any, failure: GaveUp, work: Work, pool: IsolatedPool) -> Items:
    """What can be had of a unit that its process gave up: each file that is to blame becomes a reject."""
    if not isinstance(unit, Draft):
        raise MedistillError(f"{failure.reason}, and no file is to blame")
    if len(unit.files) == 1:
        return [Reject(row=unit.files[0].row, reason=failure.reason, path=unit.files[0].name)]
    single = [replace(unit, files=(file,)) for file in unit.files]
    items: list[Study | Reject] = []
    for part, result in pool.map(work, single):
        items += _file_by_file(part, result, work, pool) if isinstance(result, GaveUp) else result
    good = [item for item in items if isinstance(item, Study)]
    study = [replace(good[0], images=tuple(image for item in good for image in item.images))] if good else []
    return [*study, *(item for item in items if isinstance(item, Reject))]
