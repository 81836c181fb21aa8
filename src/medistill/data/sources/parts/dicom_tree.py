"""A tree of DICOM files as PACS exports it: which images to take, and why not the others."""

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from medistill.data.dicom.file import is_text
from medistill.data.dicom.header import NO_PIXELS, DicomHeader, read_header
from medistill.data.study import Reject
from medistill.errors import MedistillError
from medistill.system.files import LEADS_OUT, open_regular, walk
from medistill.system.isolated import GaveUp, IsolatedPool, decoding

_SUFFIXES = {".dcm", ".dicom", ".dic", ".ima"}
"""Of files that claim to be DICOM; others, and those without one or with a number, may be."""
_START = 4096  # bytes that tell a text


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A DICOM file of the tree, known by its header alone."""

    row: int
    """Its number among the files, from 1."""
    name: str
    """Its path below the root."""
    header: DicomHeader


def scanned(
    root: Path,
    *,
    without: Path,
    workers: int = 0,
    follow_links: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[DicomFile | Reject]:
    """Every file below `root` in the order of paths, but hidden ones, DICOMDIR and what lies at `without`.

    workers       processes that read headers, with limits on memory and time; 0 reads them in this process
    follow_links  take what links lead to that lead out of `root`; a reject each otherwise
    on_progress   called with the number of files read, and of all files
    """
    numbered = list(enumerate(_files(root, without, follow_links), start=1))
    look = functools.partial(_scanned, root)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(IsolatedPool(workers)) if workers else None
        read = pool.map(look, numbered) if pool else ((unit, look(unit)) for unit in numbered)
        for (row, (path, _)), item in read:
            if isinstance(item, GaveUp):
                item = Reject(row=row, reason=item.reason, path=_name(root, path))
            yield item
            if on_progress:
                on_progress(row, len(numbered))


def chosen(
    items: Iterable[DicomFile | Reject], *, for_processing: bool
) -> tuple[list[DicomFile], list[Reject]]:
    """The images to take, and all that is set aside: by class, by intent, or for being there already."""
    files: list[DicomFile] = []
    aside: list[Reject] = []
    seen: set[tuple[str, str]] = set()
    for item in items:
        if isinstance(item, Reject):
            aside.append(item)
        elif not item.header.has_pixels and not item.header.no_image:
            # Nothing to join with a report; a fault if it says how large the picture is that is not there.
            aside.append(replace(_skipped(item, NO_PIXELS), skipped=not item.header.rows))
        elif reason := _set_aside(item.header, seen, for_processing):
            aside.append(_skipped(item, reason))
        else:
            files.append(item)
    shown = [file.header for file in files if not file.header.for_processing]
    originals = {uid for header in shown for uid in header.made_from}
    exposures = {header.exposure for header in shown} - {""}
    kept: list[DicomFile] = []
    for file in files:
        header = file.header
        if header.for_processing and (header.sop_uid in originals or header.exposure in exposures):
            aside.append(_skipped(file, "unprocessed twin of an image that is taken"))
        else:
            kept.append(file)
    return kept, aside


def _set_aside(header: DicomHeader, seen: set[tuple[str, str]], for_processing: bool) -> str | None:
    if header.no_image:
        return f"not an image but {header.no_image}"
    if header.for_processing and not for_processing:
        return "image FOR PROCESSING"
    key = (header.study_uid, header.sop_uid)
    if header.sop_uid and key in seen:
        return "same SOP instance UID as a file before it"
    seen.add(key)
    return None


def _skipped(file: DicomFile, reason: str) -> Reject:
    return Reject(row=file.row, reason=reason, path=file.name, skipped=True)


def _scanned(root: Path, numbered: tuple[int, tuple[Path, bool]]) -> DicomFile | Reject:
    row, (path, leads_out) = numbered
    name = _name(root, path)
    if leads_out:
        return Reject(row=row, reason=LEADS_OUT, path=name)
    try:
        with open_regular(path) as file:
            try:
                with decoding():
                    return DicomFile(row, name, read_header(file))
            except MedistillError as error:
                is_other = str(error).startswith("not a DICOM file")
                is_bystander = is_other and not _claims(path, file)
                return Reject(row=row, reason=str(error), path=name, skipped=is_bystander)
    except MedistillError as error:  # no regular file
        return Reject(row=row, reason=str(error), path=name)
    except OSError:
        return Reject(row=row, reason="file cannot be read", path=name)


def _claims(path: Path, file: io.BufferedIOBase) -> bool:
    """Whether a file that is no DICOM claims to be: by its suffix, or without one by not being a text."""
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return True
    file.seek(0)
    # A README or a list beside the images; what a server answered in an image's place is no such text.
    return (not suffix or suffix[1:].isdecimal()) and not is_text(file.read(_START))


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _files(root: Path, without: Path, follow_links: bool) -> Iterator[tuple[Path, bool]]:
    """Paths, and whether each is a link that is not followed."""
    for folder, names, outside in walk(root, follow_links=follow_links, without=(without,)):
        yield from ((folder / name, True) for name in outside)
        yield from ((folder / name, False) for name in names if name.upper() != "DICOMDIR")
