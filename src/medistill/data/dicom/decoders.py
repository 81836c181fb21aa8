"""The installed decoders: which of them may have a frame, and in which order."""

import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from PIL import Image

from medistill.data.dicom.file import MISSING, Dataset, number_of, require_pydicom, text_of
from medistill.data.dicom.frame import Stream, bare, with_thresholds
from medistill.data.dicom.packing import encoded_frame, syntax_of
from medistill.errors import MedistillError

_STANDARD = "1.2.840.10008."  # the root of the standard's own UIDs
_NEW_SYNTAXES = {
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112)), "JPEG XL"),
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}
"""Names of PS3.6 table A-1 that pydicom 3.0 does not know yet."""
# Pillow refuses a broken frame where gdcm may end the process; of JPEG 2000 it knows too few depths.
_PLUGINS = ("pillow", "gdcm", "pylibjpeg")
_PLUGINS_2000 = ("pylibjpeg", "gdcm", "pillow")


def decoded_native(dataset: Dataset, frame: int, *, as_rgb: bool) -> np.ndarray:
    """A frame that is native, or run-length encoded."""
    return _by_plugin(dataset, frame, "", as_rgb=as_rgb)


def decoded(dataset: Dataset, frame: int, stream: Stream, *, as_rgb: bool) -> np.ndarray:
    """A compressed frame whose markers were checked, by the first decoder that can."""
    if stream.kind == "JPEG" and stream.bits != 8:
        return _deep_jpeg(dataset, encoded_frame(dataset, frame), stream)
    if stream.kind == "JPEG-LS" and stream.bits < 8:
        return _by_gdcm(dataset, with_thresholds(encoded_frame(dataset, frame), stream.bits), stream)
    available = require_decoder(dataset).available_plugins
    order = _PLUGINS_2000 if stream.kind == "JPEG 2000" else _PLUGINS
    first: Exception | None = None
    for name in (name for name in order if name in available):
        try:
            return _by_plugin(dataset, frame, name, as_rgb=as_rgb)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise what they like
            first = first or error
            # gdcm makes half an image of a damaged frame: it may have only what Pillow reads to its end.
            if stream.kind == "JPEG" and not _is_whole(encoded_frame(dataset, frame)):
                break
    raise first or MedistillError(MISSING)


def require_decoder(dataset: Dataset) -> Any:
    """pydicom's decoder of the transfer syntax, of which at least one plugin is installed."""
    uid = dataset.file_meta.TransferSyntaxUID
    try:
        decoder: Any = require_pydicom().pixels.get_decoder(uid)
    except NotImplementedError:
        name = _NEW_SYNTAXES.get(uid, uid.name) if uid.startswith(_STANDARD) else "a private one"
        raise MedistillError(f"DICOM image in a transfer syntax that cannot be decoded: {name}") from None
    if not decoder.is_available:
        raise MedistillError(MISSING)
    return decoder


def _by_plugin(dataset: Dataset, frame: int, plugin: str, *, as_rgb: bool) -> np.ndarray:
    options = {"raw": not as_rgb, "correct_unused_bits": False, "decoding_plugin": plugin}
    with quiet() if plugin == "gdcm" else nullcontext():
        array, _ = require_decoder(dataset).as_array(dataset, index=frame, **options)
    return array


def _is_whole(frame: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(frame), formats=("JPEG",)) as image:
            image.load()
    except Exception:  # as many types as ways to be broken
        return False
    return True


def _deep_jpeg(dataset: Dataset, frame: bytes, stream: Stream) -> np.ndarray:
    """A JPEG of 12 bits, which pydicom's plugins refuse to hand to gdcm, though it reads them bit for bit."""
    if stream.bits != 12 or stream.samples != 1:
        kind = f"JPEG of {stream.bits} bits" + (" in color" if stream.samples > 1 else "")
        raise MedistillError(f"DICOM image in {kind}, which cannot be decoded")
    return _by_gdcm(dataset, bare(frame), stream)


def _by_gdcm(dataset: Dataset, frame: bytes, stream: Stream) -> np.ndarray:
    try:
        import gdcm  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise MedistillError(MISSING) from None
    api: Any = gdcm
    fragment, fragments = api.Fragment(), api.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = api.DataElement(api.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = api.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((stream.columns, stream.rows, 1))
    image.SetDataElement(element)
    space = api.PhotometricInterpretation.GetPIType(text_of(dataset, "PhotometricInterpretation"))
    image.SetPhotometricInterpretation(api.PhotometricInterpretation(space))
    image.SetTransferSyntax(api.TransferSyntax(api.TransferSyntax.GetTSType(syntax_of(dataset))))
    cell = 8 if stream.bits <= 8 else 16
    # Of 16 allocated gdcm would try its decoder for 16 bits first, which complains on the terminal.
    allocated = cell if cell == 8 else stream.bits
    shape = (stream.samples, allocated, stream.bits, stream.bits - 1, 0)
    image.SetPixelFormat(api.PixelFormat(*shape))
    with quiet():
        text: str | None = image.GetBuffer()  # bytes, handed over as text
    values = np.frombuffer((text or "").encode("utf-8", "surrogateescape"), f"u{cell // 8}")
    pixels = values.reshape(stream.rows, stream.columns, *((3,) if stream.samples == 3 else ()))
    return pixels.astype(f"{'ui'[number_of(dataset, 'PixelRepresentation')]}{cell // 8}")


@contextmanager
def quiet() -> Generator[None]:
    """Keep what gdcm's libraries print, past Python, from the terminal."""
    sys.stderr.flush()
    try:
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # there is no standard error
        yield
        return
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
