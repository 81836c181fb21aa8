"""Images whose findings are marked by boxes or runs of pixels, brought to the size that is stored."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from medistill.data.dicom.header import read_header
from medistill.data.image import decode_stored, encode_image
from medistill.data.sources.parts.draft import Draft, ImageFile, image_work
from medistill.data.study import Reject, Study, StudyImage
from medistill.errors import MedistillError
from medistill.system.isolated import decoding

Boxes = Mapping[str, tuple[float, ...]]
"""Finding -> left, top, right, bottom of each of its boxes, one behind another."""


@dataclass(frozen=True, kw_only=True)
class MarkedFile(ImageFile):
    """An image file with marks in a frame of its own, whatever size the file has now."""

    frame: int | None
    """Side of the square, in pixels, that the marks were made on; None for boxes in pixels of the file, which
    is DICOM then."""
    boxes: Boxes = field(default_factory=dict[str, tuple[float, ...]])
    runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Finding -> runs of marked pixels, column by column: `gap length gap length ...`, each gap from the end
    of the run before it. Several are marks of several places, or of several readers."""


def marked_work(size: int | None, max_pixels: int) -> Callable[[Draft | Reject], tuple[Study | Reject, ...]]:
    """`image_work` for studies of one image each, whose marks go with it."""
    return functools.partial(_finished, finish=image_work(size, max_pixels))


def _finished(
    draft: Draft | Reject, *, finish: Callable[[Draft | Reject], tuple[Study | Reject, ...]]
) -> tuple[Study | Reject, ...]:
    done = finish(draft)
    if isinstance(draft, Reject):
        return done
    (file,) = draft.files
    if not isinstance(file, MarkedFile) or not (file.boxes or file.runs):
        return done
    try:
        with decoding():
            return tuple(_marked(item, file) if isinstance(item, Study) else item for item in done)
    except MedistillError as error:
        return (Reject(row=file.row, reason=str(error), path=file.name),)


def _marked(study: Study, file: MarkedFile) -> Study:
    (image,) = study.images
    height, width = decode_stored(image.image).shape
    frame = (file.frame, file.frame) if file.frame else _size_of(file)
    scale = (width / frame[0], height / frame[1])
    boxes = {finding: _scaled(box, scale, (width, height)) for finding, box in file.boxes.items()}
    masks = {finding: _mask(runs, frame[0], width, height) for finding, runs in file.runs.items()}
    return replace(study, images=(StudyImage(image=image.image, view=image.view, boxes=boxes, masks=masks),))


def _size_of(file: ImageFile) -> tuple[int, int]:
    """Width and height that a DICOM file has, whatever becomes of it."""
    with file.path.open("rb") as opened:
        header = read_header(opened)
    return header.columns, header.rows


def _scaled(box: tuple[float, ...], scale: tuple[float, float], size: tuple[int, int]) -> tuple[float, ...]:
    """The box in pixels of the stored image of width and height `size`, cut at its edges."""
    return tuple(
        min(max(value * scale[place % 2], 0.0), float(size[place % 2])) for place, value in enumerate(box)
    )


def _mask(runs: tuple[str, ...], frame: int, width: int, height: int) -> bytes:
    marked = np.zeros((frame, frame), np.uint8)
    for run in runs:
        marked |= decode_runs(run, frame)
    resized = Image.fromarray(marked).resize((width, height), Image.Resampling.NEAREST)
    return encode_image(np.array(resized))


def decode_runs(runs: str, frame: int) -> UInt8[np.ndarray, "frame frame"]:
    """255 where marked; MedistillError for anything that is not runs within the frame."""
    try:
        numbers = np.array([int(number) for number in runs.split()], np.int64).reshape(-1, 2)
    except (ValueError, OverflowError):
        raise MedistillError("the mask is not pairs of a gap and a length") from None
    # Relative runs, as SIIM-ACR has them; the usual encoding counts each start from the first pixel.
    ends = numbers.cumsum().reshape(-1, 2) if len(numbers) else numbers
    if (numbers < 0).any() or (numbers > frame**2).any() or (len(ends) and ends[-1, 1] > frame**2):
        raise MedistillError(f"the mask reaches beyond {frame} x {frame} pixels")
    flat = np.zeros(frame * frame, np.uint8)
    for start, end in ends:
        flat[start:end] = 255
    return np.ascontiguousarray(flat.reshape(frame, frame).T)  # runs go down the columns
