"""Writes docs/dicom.png: the values a DICOM file stores beside the image that is prepared from them."""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from medistill.data.dicom import decode_dicom
from medistill.data.image import MAX_PIXELS
from medistill.data.phantom import phantom_studies

SIZE, CENTER, WIDTH = 384, 1500, 2000


def stored_values() -> np.ndarray:
    """A phantom as a detector hands it over: 12 bits, bone dark, the film in the lower half of the range."""
    film = next(study.images[0] for study in phantom_studies(1, size=SIZE))
    grey = np.asarray(Image.open(io.BytesIO(film.image)), np.float64)
    return (CENTER + WIDTH * (0.5 - grey / 255)).astype(np.uint16)


def dicom_file(values: np.ndarray) -> bytes:
    """MONOCHROME1 with a window, and nothing else that tells how to show it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME1", 1
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = CENTER, WIDTH
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def main() -> None:
    values = stored_values()
    prepared = decode_dicom(dicom_file(values), max_pixels=MAX_PIXELS)
    figure, axes = plt.subplots(1, 2, figsize=(9, 5), facecolor="black")
    for axis, image, top, caption in (
        (axes[0], values, 4095, "stored: 12 bits, MONOCHROME1"),
        (axes[1], prepared, 255, f"prepared: window {CENTER} / {WIDTH}, inverted once"),
    ):
        axis.imshow(image, cmap="gray", vmin=0, vmax=top)
        axis.set_title(caption, color="white", fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    out = Path(__file__).with_name("dicom.png")
    figure.savefig(out, dpi=100, facecolor="black")
    Image.open(out).convert("L").save(out, optimize=True)  # grey is a third of the size
    print(out)


if __name__ == "__main__":
    main()
