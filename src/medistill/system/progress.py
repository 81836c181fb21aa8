"""Who hears how far some work is."""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Told what is done, how much of it, and how much there is."""


def counted(on_progress: Progress | None, stage: str, total: int) -> Callable[[int], None]:
    """To be called with how many more are done."""
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if on_progress:
            on_progress(stage, done, total)

    return tell
