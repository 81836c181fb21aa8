"""Studies whose images are still files, and how they become records."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from medistill.data.image import stored_image
from medistill.data.study import Reject, Study, StudyImage
from medistill.errors import CallError, MedistillError


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image to be read, and where the source names it."""

    row: int
    path: Path
    name: str
    """The path as the source gives it, for the list of rejects."""
    view: str | None = None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """All of a study but its images."""

    study: Study
    files: tuple[ImageFile, ...]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """An opened source: cheap units in order, and the costly work on one, which any process can do."""

    units: Iterable[Any]
    work: Callable[[Any], tuple[Study | Reject, ...]]
    findings: tuple[str, ...] = ()
    studies: int | None = None
    """Stop after so many studies; None to read all units."""


@runtime_checkable
class Source(Protocol):
    """What `prepare` reads: a frozen dataclass of options."""

    name: ClassVar[str]

    def made_with(self) -> dict[str, Any]:
        """The options, for the card of the corpus; no path among them."""
        ...

    def open(self) -> Reading: ...


def finished(draft: Draft | Reject, *, size: int | None, max_pixels: int) -> tuple[Study | Reject, ...]:
    """The study with the images that can be used, and a reject for each that cannot."""
    if isinstance(draft, Reject):
        return (draft,)
    images: list[StudyImage] = []
    rejects: list[Reject] = []
    for file in draft.files:
        try:
            data = stored_image(_read(file.path), size=size, max_pixels=max_pixels)
            images.append(StudyImage(image=data, view=file.view))
        except MedistillError as error:
            rejects.append(Reject(row=file.row, reason=str(error), path=file.name))
    study = (replace(draft.study, images=tuple(images)),) if images else ()
    return (*study, *rejects)


def image_work(size: int | None, max_pixels: int) -> Callable[[Draft | Reject], tuple[Study | Reject, ...]]:
    """`finished` with its options checked and set."""
    if size is not None and size < 16:
        raise CallError(f"--size is {size}; images of fewer than 16 pixels show nothing")
    if max_pixels < 1:
        raise CallError(f"--max-pixels is {max_pixels}; it must be at least 1")
    return functools.partial(finished, size=size, max_pixels=max_pixels)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MedistillError("no such image file") from None
    except (OSError, ValueError):  # ValueError: a name no file system takes, with a zero byte in it
        raise MedistillError("image file cannot be read") from None
