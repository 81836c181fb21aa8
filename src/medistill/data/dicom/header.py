"""What the header of a DICOM file says that a source of studies needs."""

import datetime
import io
import re
from dataclasses import dataclass
from typing import Any

from medistill.data.dicom.classes import sop_class_of, what_instead
from medistill.data.dicom.file import Dataset, caught_warnings, header_of, items_of, number_of, text_of
from medistill.data.study import age_with_unit

NO_PIXELS = "not an image: the DICOM file holds no pixel data, or is cut before it"
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
    has_pixels: bool
    """Whether pixels follow; without any there is no picture, whatever the class."""
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
        dataset, pixels_at = header_of(io.BytesIO(file) if isinstance(file, bytes) else file)
        fields = _fields(dataset)
    return DicomHeader(**fields, has_pixels=pixels_at is not None, warnings=caught.count)


def is_for_processing(dataset: Dataset) -> bool:
    return text_of(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"


def _fields(dataset: Dataset) -> dict[str, Any]:
    sex = text_of(dataset, "PatientSex").upper()
    burned_in = {"YES": True, "NO": False}.get(text_of(dataset, "BurnedInAnnotation").upper())
    sources = items_of(dataset, "SourceImageSequence")
    return {
        "sop_class": sop_class_of(dataset),
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
