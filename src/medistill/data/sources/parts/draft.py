"""Studies whose images are still files, and how they become records."""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from medistill.data.image import Depth, Kept, kept_image
from medistill.data.study import Reject, Study, StudyImage
from medistill.errors import CallError, MedistillError
from medistill.system.files import read_regular
from medistill.system.isolated import TOO_LARGE, decoding
from medistill.system.progress import Progress
from medistill.system.shown import is_unicode


# A card and a stopped run know their units by `repr` (`Reading.units`): with another name, field or order of
# fields in ImageFile, MarkedFile, Draft, Study or Reject, every corpus there is would be prepared anew.
@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image to be read, and where the source names it."""

    row: int
    path: Path = field(repr=False)
    """Where it lies now; what it is called tells it from others, wherever the source is moved."""
    name: str
    """The path as the source gives it, for the list of rejects."""
    view: str | None = None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """All of a study but its images."""

    study: Study
    files: tuple[ImageFile, ...]
    is_whole: bool = field(default=False, repr=False)
    """Its text was kept whole, since its headers are of a language that is not known."""


Item = Study | Reject
Store = Callable[[bytes], Kept]
"""An image file -> the images it holds, as they will be stored; MedistillError says why not."""


_HALF = "a text or id that is no Unicode: it holds half a surrogate"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """An opened source: cheap units in order, and the costly work on one, which any process can do."""

    units: Iterable[Any]
    """Each told from any other by its `repr`, so that a stopped run can be gone on with."""
    work: Callable[[Any], tuple[Study | Reject, ...]]
    findings: tuple[str, ...] = ()
    studies: int | None = None
    """Stop after so many studies and rejects; None to read all units."""
    expected: int | None = None
    """About how many studies and rejects there will be, to tell the time left; None if it is not known."""
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the card should say of the source beyond its options."""


@runtime_checkable
class Source(Protocol):
    """What `prepare` reads: a frozen dataclass of options."""

    name: ClassVar[str]

    def made_with(self) -> dict[str, Any]:
        """The options, for the card of the corpus; no path among them."""
        ...

    def open(self) -> Reading: ...


@runtime_checkable
class ScannedSource(Source, Protocol):
    """A source that has to look into all its files before it can tell which go together."""

    def scan(self, workers: int, on_progress: Progress | None = None) -> Reading:
        """`open`, with so many processes to look into files; 0 looks into them in this process."""
        ...


def options_of(source: Any, *, but: Collection[str] = ("path",)) -> dict[str, Any]:
    """All fields of a source, as JSON gives them back: for the card of the corpus."""
    values = {option.name: getattr(source, option.name) for option in fields(source)}
    if not values.get("follow_links"):  # cards written before there were any say nothing of it
        but = (*but, "follow_links")
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if name not in but
    }


def finished(draft: Draft | Reject, *, store: Store) -> tuple[Item, ...]:
    """The study with the images that can be used, and a reject for each that cannot."""
    if isinstance(draft, Reject):
        return (draft,)
    if not _is_unicode(draft.study):
        return tuple(Reject(row=file.row, reason=_HALF, path=file.name) for file in draft.files)
    images: list[StudyImage] = []
    rejects: list[Reject] = []
    for file in draft.files:
        try:
            with decoding():
                kept = store(_read(file.path))
            images += [StudyImage(image=data, view=file.view) for data in kept.images]
            # Not set aside, but counted and listed in the same place.
            rejects += [
                Reject(row=file.row, reason=f"taken all the same: {remark}", path=file.name, skipped=True)
                for remark in kept.remarks
            ]
        except MedistillError as error:
            rejects.append(Reject(row=file.row, reason=str(error), path=file.name))
        except MemoryError:
            rejects.append(Reject(row=file.row, reason=TOO_LARGE, path=file.name))
    study = (replace(draft.study, images=tuple(images)),) if images else ()
    return (*study, *rejects)


def _is_unicode(study: Study) -> bool:
    values = (getattr(study, each.name) for each in fields(study))
    return all(is_unicode(value) for value in values if isinstance(value, str))


def image_work(
    size: int | None, max_pixels: int, depth: Depth = 8
) -> Callable[[Draft | Reject], tuple[Item, ...]]:
    """`finished` with its options checked and set."""
    check_image_options(size, max_pixels)
    store = functools.partial(kept_image, size=size, max_pixels=max_pixels, depth=depth)
    return functools.partial(finished, store=store)


def check_image_options(size: int | None, max_pixels: int) -> None:
    if size is not None and size < 16:
        raise CallError(f"--size is {size}; images of fewer than 16 pixels show nothing")
    if max_pixels < 1:
        raise CallError(f"--max-pixels is {max_pixels}; it must be at least 1")


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except FileNotFoundError:
        raise MedistillError("no such image file") from None
    except (OSError, ValueError):  # ValueError: a name no file system takes, with a zero byte in it
        raise MedistillError("image file cannot be read") from None
