"""One report of the Indiana University collection (Open-i), an XML file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from defusedxml import ElementTree

from medistill.errors import MedistillError

LARGEST = 1_000_000
"""Bytes of a report that is still read; the largest published has 9 kB."""


@dataclass(frozen=True, kw_only=True)
class OpeniReport:
    """What the XML says, its words as they are: `XXXX` stands where it was de-identified."""

    uid: str
    """`CXR1`."""
    findings: str
    impression: str
    indication: str
    comparison: str
    mesh: tuple[str, ...]
    """Terms with qualifiers by people, as `Opacity/lung/base/left`; `normal` alone, or `No Indexing`."""
    automatic: tuple[str, ...]
    """Terms found by a program."""
    images: tuple[str, ...]
    """Ids in the order of the figures: `CXR1_1_IM-0001-3001` is the file of that name and `.png`."""


def read_report(path: Path) -> OpeniReport:
    """The report in an XML file as published in NLMCXR_reports.tgz."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise MedistillError(f"report cannot be read: {error.strerror}") from None
    return parse_report(data)


def parse_report(data: bytes) -> OpeniReport:
    """The report in the bytes of an XML file; every failure is one line that quotes nothing from it."""
    if len(data) > LARGEST:
        raise MedistillError(f"report is larger than {LARGEST:,} bytes: not one of the collection")
    try:
        root = ElementTree.fromstring(data, forbid_dtd=True)  # no report has one
    except Exception as error:  # half a dozen types: broken XML, a DTD, encodings unknown or not kept to
        raise MedistillError("report is not XML that can be read (broken, or with a DTD)") from error
    uid = root.find("uId")
    if root.tag != "eCitation" or uid is None or not uid.get("id", "").strip():
        raise MedistillError("XML is not a report of the collection: no eCitation with a uId")
    said = dict[str, str]()
    for part in root.iter("AbstractText"):
        said.setdefault(part.get("Label", "").upper(), part.text or "")
    return OpeniReport(
        uid=uid.get("id", "").strip(),
        findings=said.get("FINDINGS", ""),
        impression=said.get("IMPRESSION", ""),
        indication=said.get("INDICATION", ""),
        comparison=said.get("COMPARISON", ""),
        mesh=_filled(term.text for term in root.iter("major")),
        automatic=_filled(term.text for term in root.iter("automatic")),
        images=_filled(image.get("id") for image in root.iter("parentImage")),
    )


def _filled(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text and text.strip())
