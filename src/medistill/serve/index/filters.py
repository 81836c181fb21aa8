"""What a search is narrowed down to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Filters:
    views: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    ages: tuple[float | None, float | None] = (None, None)
    dates: tuple[str | None, str | None] = (None, None)
    sources: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
