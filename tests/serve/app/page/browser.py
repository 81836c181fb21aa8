"""What the tests of the page do in a browser, and the files they give it."""

import base64
import io

import numpy as np
from PIL import Image

from medistill.data.phantom import phantom_studies

TOKEN = "only-for-the-tests-of-the-page"
WIDTHS = (1280, 390)


def phantom_png(size: int = 128) -> bytes:
    return next(phantom_studies(1, seed=9, size=size)).images[0].image


def dicom_file(size: int = 128, center: int = 1500, width: int = 2000) -> bytes:
    """A phantom as a detector may store it: 12 bits with a window."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    grey = np.asarray(Image.open(io.BytesIO(phantom_png(size))), np.float64)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    dataset.Modality, dataset.PatientID = "DX", "P1"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = grey.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = center, width
    dataset.PixelData = (center + width * (grey / 255 - 0.5)).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def choose(page, data: bytes, name: str = "film.png") -> None:
    """Choose a file, and wait until it is shown."""
    page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": data})
    page.wait_for_selector("#stage[aria-busy=false] > #view:not([hidden])")


def ask_for(page, finding: str):
    """Type a finding; returns its row once it is judged."""
    page.fill("#finding", finding)
    page.press("#finding", "Enter")
    row = page.locator("#scores > li").filter(has=page.get_by_text(finding, exact=True))
    row.locator(".word").wait_for()
    return row


def film_pixels(page) -> np.ndarray:
    """What the canvas shows, (h, w, 3)."""
    drawn = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(drawn)
    url = page.evaluate("() => document.getElementById('canvas').toDataURL()")
    png = base64.b64decode(url.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def colored(pixels: np.ndarray) -> float:
    """Share of the pixels that are not grey."""
    return float((np.ptp(pixels, axis=2) > 24).mean())
