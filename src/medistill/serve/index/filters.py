"""What a case must be to be found."""

import datetime
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Bool

from medistill.errors import CallError


class QueryError(CallError):
    """What is asked for is no query, or of something that is not there; the index itself is well."""


pc: Any = pyarrow.compute  # makes its functions when it is imported, unseen by pyright
_VALUES = {"1": 1, "0": 0, "-1": -1}


@dataclass(frozen=True, kw_only=True)
class Values:
    """What there is to filter by."""

    views: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Filters:
    """All that is given must hold; of several views, sexes or sources one. Empty lets every case through.

    A case whose view, sex, age, date or label is not stated does not pass a filter by it.
    """

    views: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    ages: tuple[float | None, float | None] = (None, None)
    """Years, both ends included."""
    dates: tuple[str | None, str | None] = (None, None)
    """ISO, both ends included."""
    sources: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Findings that are present; `edema=0` for one that is absent, `edema=-1` for an uncertain one."""

    @property
    def any(self) -> bool:
        return self != Filters()

    @property
    def days(self) -> tuple[datetime.date | None, datetime.date | None]:
        """The dates; QueryError for one that is none."""
        return _day(self.dates[0]), _day(self.dates[1])

    @property
    def stated(self) -> tuple[tuple[str, int], ...]:
        """Findings with the value they must have; QueryError for a value there is not."""
        return tuple(_stated(label) for label in self.labels)

    def check(self, there: Values, images: int) -> None:
        """QueryError that names what there is, if a value is unknown, a range or the whole index empty."""
        if self.any and not images:
            raise QueryError("the index is empty: it has no study that a filter could let through")
        for what, values, known in (
            ("view", self.views, there.views),
            ("sex", self.sexes, there.sexes),
            ("source", self.sources, there.sources),
            ("finding", [finding for finding, _ in self.stated], there.findings),
        ):
            _check_known(what, values, known)
        if any(age is not None and math.isnan(age) for age in self.ages):
            raise QueryError("found nan as an age, expected years")
        ranges: dict[str, tuple[Any, Any]] = {"age": self.ages, "date": self.days}
        for what, (low, high) in ranges.items():
            if low is not None and high is not None and low > high:
                raise QueryError(f"{what}s from {low} to {high} are none: give the lower one first")


def matching(filters: Filters, cases: pa.Table) -> Bool[np.ndarray, " n"]:
    """Which rows of an index's cases pass."""
    kept = np.ones(cases.num_rows, bool)
    for name, values in (("view", filters.views), ("sex", filters.sexes), ("source", filters.sources)):
        if values:
            kept &= _true(pc.is_in(cases[name], value_set=pa.array(values, pa.string())))
    for name, (low, high) in (("age", filters.ages), ("date", filters.days)):
        if low is not None:
            kept &= _true(pc.greater_equal(cases[name], pa.scalar(low, cases.schema.field(name).type)))
        if high is not None:
            kept &= _true(pc.less_equal(cases[name], pa.scalar(high, cases.schema.field(name).type)))
    known = [field.name for field in cases.schema.field("labels").type]
    for finding, value in filters.stated:
        if finding not in known:  # one of another corpus
            return np.zeros(cases.num_rows, bool)
        labels = pc.struct_field(cases["labels"], known.index(finding))
        kept &= _true(pc.equal(labels, pa.scalar(value, pa.int8())))
    return kept


def values_of(parts: Sequence[pa.Table], findings: Sequence[str]) -> Values:
    """What there is in these cases."""

    def distinct(name: str) -> tuple[str, ...]:
        columns = [pc.unique(cases[name]).drop_null().to_pylist() for cases in parts]
        return tuple(sorted({str(value) for column in columns for value in column}))

    views, sexes, sources = map(distinct, ("view", "sex", "source"))
    return Values(views=views, sexes=sexes, sources=sources, findings=tuple(findings))


def _true(passes: Any) -> Bool[np.ndarray, " n"]:
    """Null, what is not stated, is no."""
    return np.asarray(pc.fill_null(passes, False).to_numpy(zero_copy_only=False), dtype=bool)


def _check_known(what: str, values: Iterable[str], known: Sequence[str]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        raise QueryError(f"no {what} `{unknown[0]}` in the index; it has {', '.join(known) or 'none stated'}")


def _day(date: str | None) -> datetime.date | None:
    if date is None:
        return None
    try:
        return datetime.date.fromisoformat(date)
    except ValueError:
        raise QueryError(f"no date: `{date}`; expected year-month-day, as 2020-01-31") from None


def _stated(label: str) -> tuple[str, int]:
    finding, equals, value = label.rpartition("=")
    if not equals:
        return label, 1
    if value not in _VALUES:
        raise QueryError(f"no label value: `{value}`; expected 1 present, 0 absent or -1 uncertain")
    return finding, _VALUES[value]
