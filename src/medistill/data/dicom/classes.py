"""SOP classes whose objects hold no picture, by name."""

from typing import Any

from medistill.data.dicom.file import Dataset, number_of, require_pydicom, text_of

DICOMDIR = "1.2.840.10008.1.3.10"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_NO_IMAGE = (
    (DICOMDIR, "a DICOMDIR"),
    (f"{_STORAGE}88.59", "a key object selection (KO)"),
    (f"{_STORAGE}88.", "a structured report (SR)"),
    (f"{_STORAGE}11.", "a presentation state (PR)"),
    (f"{_STORAGE}104.1", "an encapsulated PDF"),
    (f"{_STORAGE}104.", "an encapsulated document"),
    (f"{_STORAGE}9.", "a waveform"),
    (f"{_STORAGE}66.4", "a segmentation"),
    (f"{_STORAGE}66.5", "a surface segmentation"),
    (f"{_STORAGE}66.6", "tractography results"),
    (f"{_STORAGE}66.7", "a label map segmentation"),
    (f"{_STORAGE}66.8", "a height map segmentation"),
    (f"{_STORAGE}66", "raw, registration or surface data"),
    (f"{_STORAGE}67", "a real world value mapping"),
    (f"{_STORAGE}68.", "surface data of a scanned body"),
    (f"{_STORAGE}4.2", "MR spectroscopy"),
    (f"{_STORAGE}30", "a parametric map"),
    (f"{_STORAGE}78.", "a measurement of the eye"),
    (f"{_STORAGE}79.1", "a macular grid thickness report"),
    (f"{_STORAGE}80.1", "a visual field measurement"),
    (f"{_STORAGE}90.", "a content assessment"),
    (f"{_STORAGE}91.", "bulk annotations"),
    (f"{_STORAGE}131", "a display layout"),
    (f"{_STORAGE}200.", "a procedure protocol"),
    (f"{_STORAGE}201.", "an inventory"),
    (f"{_STORAGE}481.2", "a radiotherapy dose"),
    (f"{_STORAGE}481.3", "a radiotherapy structure set"),
    (f"{_STORAGE}481.4", "a radiotherapy record"),
    (f"{_STORAGE}481.5", "a radiotherapy plan"),
    (f"{_STORAGE}481.6", "a radiotherapy record"),
    (f"{_STORAGE}481.7", "a radiotherapy record"),
    (f"{_STORAGE}481.8", "a radiotherapy plan"),
    (f"{_STORAGE}481.9", "a radiotherapy record"),
    ("1.2.840.10008.5.1.4.34.", "a worklist or radiotherapy instruction"),
    ("1.2.840.10008.5.1.4.38.", "a hanging protocol"),
    ("1.2.840.10008.5.1.4.39.", "a color palette"),
    ("1.2.840.10008.5.1.4.43.", "an implant template"),
    ("1.2.840.10008.5.1.4.44.", "an implant assembly template"),
    ("1.2.840.10008.5.1.4.45.", "an implant template group"),
    ("1.3.12.2.1107.5.9.1", "vendor data (Siemens CSA)"),
)
"""SOP class (PS3.4 tables B.5-1 and GG.3-1), or how it begins where that ends in a dot, in order."""
_NO_IMAGE_MODALITIES = {
    "SR": "a structured report (SR)",
    "PR": "a presentation state (PR)",
    "KO": "a key object selection (KO)",
    "DOC": "an encapsulated document",
    "SEG": "a segmentation",
    "REG": "raw, registration or surface data",
    "ANN": "bulk annotations",
    "PLAN": "a plan",
    "HC": "a hardcopy",
    "AU": "sound",
    "ECG": "a waveform",
    "HD": "a waveform",
    "EPS": "a waveform",
}
_ANGIOGRAPHY = {f"{_STORAGE}12.{number}" for number in ("1", "1.1", "2", "2.1", "3")}
"""XA, enhanced XA, XRF, enhanced XRF, and the bi-plane class of both, which is retired."""


def sop_class_of(dataset: Dataset) -> str:
    """The SOP class; of a file whose dataset has none, as a DICOMDIR's, that of the file meta information."""
    meta = getattr(dataset, "file_meta", None)
    return text_of(dataset, "SOPClassUID") or (text_of(meta, "MediaStorageSOPClassUID") if meta else "")


def what_instead(dataset: Dataset) -> str | None:
    """What the file holds if it is of a class that is no image."""
    sop_class = sop_class_of(dataset)
    for uid, name in _NO_IMAGE:
        if sop_class == uid or sop_class.startswith(uid if uid.endswith(".") else f"{uid}."):
            return name
    if "DirectoryRecordSequence" in dataset:
        return "a DICOMDIR"
    if number_of(dataset, "Rows") > 0:
        return None
    return _NO_IMAGE_MODALITIES.get(text_of(dataset, "Modality")) or _official_name(sop_class)


def _official_name(sop_class: str) -> str | None:
    """The standard's name of a class that says nothing of an image; None of any other."""
    uid: Any = require_pydicom().uid.UID(sop_class)
    name = str(uid.name) if uid.type == "SOP Class" else ""
    return None if not name or "Image" in name else f"an object of the class {name}"


def is_angiography(dataset: Dataset) -> bool:
    """Whether a modality LUT leads back to the raw signal, and not to what is shown (PS3.3 C.8.7.1.1.2)."""
    sop_class = sop_class_of(dataset)
    return sop_class in _ANGIOGRAPHY or (not sop_class and text_of(dataset, "Modality") in ("XA", "RF"))


def is_tile(dataset: Dataset) -> bool:
    """Whether a frame is a tile of a larger picture, as of whole slides (PS3.3 C.8.12.4)."""
    frame = number_of(dataset, "Rows") * number_of(dataset, "Columns")
    return number_of(dataset, "TotalPixelMatrixRows") * number_of(dataset, "TotalPixelMatrixColumns") > frame
