"""What the header of a DICOM file says that a source of studies needs."""

import datetime
import io
import re
from dataclasses import dataclass
from typing import Any

from medistill.data.dicom.file import Dataset, caught_warnings, header_of, items_of, number_of, text_of
from medistill.data.study import age_with_unit

_NO_IMAGE = (
    ("1.2.840.10008.1.3.10", "a DICOMDIR"),
    ("1.2.840.10008.5.1.4.1.1.88.59", "a key object selection (KO)"),
    ("1.2.840.10008.5.1.4.1.1.88.", "a structured report (SR)"),
    ("1.2.840.10008.5.1.4.1.1.11.", "a presentation state (PR)"),
    ("1.2.840.10008.5.1.4.1.1.104.1", "an encapsulated PDF"),
    ("1.2.840.10008.5.1.4.1.1.104.", "an encapsulated document"),
    ("1.2.840.10008.5.1.4.1.1.9.", "a waveform"),
    ("1.2.840.10008.5.1.4.1.1.66.4", "a segmentation"),
    ("1.2.840.10008.5.1.4.1.1.66", "raw, registration or surface data"),
    ("1.2.840.10008.5.1.4.1.1.67", "a real world value mapping"),
    ("1.2.840.10008.5.1.4.1.1.4.2", "MR spectroscopy"),
    ("1.2.840.10008.5.1.4.1.1.30", "a parametric map"),
    ("1.2.840.10008.5.1.4.1.1.481.2", "a radiotherapy dose"),
    ("1.2.840.10008.5.1.4.1.1.481.3", "a radiotherapy structure set"),
    ("1.2.840.10008.5.1.4.1.1.481.4", "a radiotherapy record"),
    ("1.2.840.10008.5.1.4.1.1.481.5", "a radiotherapy plan"),
    ("1.2.840.10008.5.1.4.1.1.481.6", "a radiotherapy record"),
    ("1.2.840.10008.5.1.4.1.1.481.7", "a radiotherapy record"),
    ("1.2.840.10008.5.1.4.1.1.481.8", "a radiotherapy plan"),
    ("1.2.840.10008.5.1.4.1.1.481.9", "a radiotherapy record"),
    ("1.2.840.10008.5.1.4.34.", "a worklist or radiotherapy instruction"),
)
"""SOP class (PS3.4 table B.5-1), or how it begins where that ends in a dot, in the order to be tried."""
_NO_IMAGE_MODALITIES = {
    "SR": "a structured report (SR)",
    "PR": "a presentation state (PR)",
    "KO": "a key object selection (KO)",
    "DOC": "an encapsulated document",
    "SEG": "a segmentation",
    "REG": "raw, registration or surface data",
}
_VIEWS = {"PA": "PA", "AP": "AP", "LL": "lateral", "RL": "lateral", "LATERAL": "lateral", "LAT": "lateral"}
VIEW_CODES = {
    **dict.fromkeys(("r-10206", "399348003", "antero-posterior"), "AP"),
    **dict.fromkeys(("r-10214", "r-40888", "272479007", "postero-anterior"), "PA"),
    **dict.fromkeys(("r-10236", "399173006", "left lateral"), "lateral"),
    **dict.fromkeys(("r-10232", "399198007", "right lateral"), "lateral"),
    **dict.fromkeys(("r-102cd", "399067008", "lateral"), "lateral"),
}
"""Projections by code (SRT, SNOMED CT) or meaning, PS3.16 CID 4010."""
_OLDEST = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomHeader:
    """Identifiers as they stand in the file: whoever writes them to disk sees to what becomes of them."""

    sop_class: str
    sop_uid: str
    study_uid: str
    accession: str
    patient_id: str
    issuer: str
    """Of the patient id: two hospitals may give two people the same one."""
    no_image: str | None
    """What the file holds if it is no image."""
    modality: str
    sex: str | None
    age: float | None
    """Years."""
    date: datetime.date | None
    view: str | None
    """`PA`, `AP` or `lateral`; None where neither view position nor view code says one of them."""
    for_processing: bool
    """Meant for the vendor's software, not for eyes."""
    burned_in: bool | None
    """Whether the picture itself names the patient; None where nothing is said."""
    exposure: str
    """Irradiation event UID: equal for all versions of one exposure."""
    made_from: tuple[str, ...]
    """SOP UIDs of the images this one was made from."""
    frames: int
    rows: int
    columns: int
    warnings: int
    """Departures from the standard met on the way."""


def read_header(file: bytes | io.BufferedIOBase) -> DicomHeader:
    """The header of a DICOM file; of an open file the pixels are not read.

    Raises MedistillError where the bytes are no DICOM file, or its header cannot be read.
    """
    with caught_warnings("broken DICOM file: its header cannot be read") as caught:
        dataset, _ = header_of(io.BytesIO(file) if isinstance(file, bytes) else file)
        fields = _fields(dataset)
    return DicomHeader(**fields, warnings=caught.count)


def what_instead(dataset: Dataset) -> str | None:
    """What the file holds if it is of a class that is no image."""
    sop_class = text_of(dataset, "SOPClassUID")
    for uid, name in _NO_IMAGE:
        if sop_class == uid or (uid.endswith(".") and sop_class.startswith(uid)):
            return name
        if sop_class.startswith(f"{uid}."):
            return name
    has_size = number_of(dataset, "Rows") > 0
    return None if has_size else _NO_IMAGE_MODALITIES.get(text_of(dataset, "Modality"))


def is_for_processing(dataset: Dataset) -> bool:
    return text_of(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"


def _fields(dataset: Dataset) -> dict[str, Any]:
    sex = text_of(dataset, "PatientSex").upper()
    burned_in = {"YES": True, "NO": False}.get(text_of(dataset, "BurnedInAnnotation").upper())
    sources = items_of(dataset, "SourceImageSequence")
    return {
        "sop_class": text_of(dataset, "SOPClassUID"),
        "sop_uid": text_of(dataset, "SOPInstanceUID"),
        "study_uid": text_of(dataset, "StudyInstanceUID"),
        "accession": text_of(dataset, "AccessionNumber"),
        "patient_id": text_of(dataset, "PatientID"),
        "issuer": text_of(dataset, "IssuerOfPatientID"),
        "no_image": what_instead(dataset),
        "modality": text_of(dataset, "Modality"),
        "sex": sex if sex in ("M", "F") else None,
        # An Age String is 045Y (PS3.5 table 6.2-1), in practice also 62. Birth dates are often made up.
        "age": age_with_unit(text_of(dataset, "PatientAge"), oldest=_OLDEST),
        "date": _date(text_of(dataset, "StudyDate")),
        "view": _view(dataset),
        "for_processing": is_for_processing(dataset),
        "burned_in": burned_in,
        "exposure": text_of(dataset, "IrradiationEventUID"),
        "made_from": tuple(text_of(item, "ReferencedSOPInstanceUID") for item in sources),
        "frames": max(1, number_of(dataset, "NumberOfFrames")),
        "rows": number_of(dataset, "Rows"),
        "columns": number_of(dataset, "Columns"),
    }


def _view(dataset: Dataset) -> str | None:
    position = text_of(dataset, "ViewPosition").upper()
    if position in _VIEWS:
        return _VIEWS[position]
    # Of DX images the view code is what must be there (PS3.3 C.8.11.5).
    items = items_of(dataset, "ViewCodeSequence")
    codes = [text_of(item, keyword) for item in items for keyword in ("CodeValue", "CodeMeaning")]
    views = {VIEW_CODES[code] for code in map(str.casefold, codes) if code in VIEW_CODES}
    return views.pop() if len(views) == 1 else None


def _date(text: str) -> datetime.date | None:
    match = re.fullmatch(r"(\d{4})[.]?(\d{2})[.]?(\d{2})", text)  # with dots before the standard of 1993
    try:
        return datetime.date(*map(int, match.groups())) if match else None
    except ValueError:
        return None
