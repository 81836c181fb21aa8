"""The drawn studies as a source."""

import functools
import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

from medistill.data.sources.parts.draft import Reading
from medistill.data.study import Reject, Study
from medistill.errors import CallError


@dataclass(frozen=True, kw_only=True)
class PhantomSource:
    """Drawn chest radiographs with reports; the same for the same options on every machine."""

    name: ClassVar[str] = "phantom"

    count: int = 8000
    """Studies to draw."""
    size: int = 64
    """Side of an image in pixels, 64 to 512."""
    seed: int = 0
    """Another seed draws other patients."""

    def made_with(self) -> dict[str, Any]:
        from medistill.data.phantom.studies import VERSION

        return {"count": self.count, "size": self.size, "seed": self.seed, "phantom_version": VERSION}

    def open(self) -> Reading:
        from medistill.data.phantom.findings import FINDINGS

        if self.count < 1:
            raise CallError(f"--count is {self.count}; at least 1 study must be drawn")
        if not 64 <= self.size <= 512:
            raise CallError(f"--size is {self.size}; phantoms are drawn at 64 to 512 pixels")
        draw = functools.partial(_drawn, seed=self.seed, size=self.size)
        return Reading(
            units=itertools.count(),
            work=draw,
            findings=tuple(FINDINGS),
            studies=self.count,
            expected=self.count,
        )


def _drawn(patient: int, *, seed: int, size: int) -> tuple[Study | Reject, ...]:
    from medistill.data.phantom.studies import phantom_patient

    return phantom_patient(seed, patient, size=size)
