"""Words in a report that may name a person: counted by kind, never quoted."""

import re
from collections.abc import Mapping

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)[a-z]*\.?"
_DAY, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:19|20|21)\d\d"
_NAME = r"(?!XX|_)[A-Z][\w'\u2019-]+"
"""A capitalized word that is no mark of de-identification (XXXX, ___)."""
_VIEW = r"(?i:AP|PA|lateral|chest|frontal|portable|abdomen|axial|coronal|sagittal)\b"
KINDS: Mapping[str, re.Pattern[str]] = {
    "name": re.compile(
        # "MR." in capitals is a modality, "MS." a disease and "DR." may be one: a view is no name after it.
        rf"\b(?:Drs?\.?|dr\.|Mr\.?|mr\.|Mrs\.?|mrs\.|MRS\.|Ms\.?|Miss|Prof\.?|PROF\.)\s+{_NAME}"
        rf"|\bDR\.\s+(?!{_VIEW}){_NAME}"
        rf"|\b(?i:(?:patient(?:'s)?\s+)?name|physician|radiologist|dictated by|signed by|reported by|read by)"
        rf"\s*[:=]?\s+(?-i:{_NAME}\s*,?\s+{_NAME})"
        rf"|\b(?i:patient(?:'s)?\s+name|name\s*[:=])\s*:?\s*{_NAME}"
    ),
    "date": re.compile(
        rf"\b{_YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.]{_DAY}\b"
        rf"|\b\d{{1,2}}([-/.])\d{{1,2}}\1(?:{_YEAR}|\d\d)\b(?!\.\d)"
        rf"|\b{_MONTH}\s+{_DAY}(?:st|nd|rd|th)?,?\s+{_YEAR}\b"
        rf"|\b{_DAY}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+{_YEAR}\b"
        r"|\b(?:January|February|April|June|July|August|September|October|November|December)\s+"
        rf"{_DAY}(?:st|nd|rd|th)?\b",
        re.ASCII,
    ),
    "phone number": re.compile(
        r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b"
        r"|(?<!\w)\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}\b"
        r"|\b(?i:tel|phone|telephone|fax|pager|ext)\b[.:]?(?:\s*(?i:no|number)\b\.?:?)?\s*\+?\d[\d ()/.-]{3,}"
    ),
    "record number": re.compile(
        r"\b(?i:MRN|SSN|NHS|medical record|record|accession|patient id|patient number|case)"
        r"(?:\s*(?i:no|nr|number|id)\b\.?|\s*#)?\s*[:#=]?\s*(?=[\w-]*\d{4})[\w-]{5,}"
        r"|(?<![\w.,/-])(?<!PMID: )(?<!PMID:)\d{7,}(?![\w,]*\d)"
    ),
    "e-mail or web address": re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.]+|\bhttps?://\S+|\bwww\.\w\S+"),
    "age over 89": re.compile(r"\b(?:9\d|1[01]\d)[\s-]*(?i:years?|yrs?|y/?o)\b"),
}
"""Kind -> what it looks like. They find what is written plainly; a name without a title goes unseen."""
_NAME_AS_ID = re.compile(r"[^\W\d_]{2,}\s*[,^]\s*[^\W\d_]{2,}.*|[^\W\d_]{2,}(?:\s+[^\W\d_]{2,})+")


def identifiers(text: str) -> frozenset[str]:
    """The kinds of identifiers the text may hold."""
    return frozenset(kind for kind, pattern in KINDS.items() if pattern.search(text))


def is_a_name(patient_id: str) -> bool:
    """Whether an id is written as a name: DOE^JANE, Doe, Jane or Jane Doe."""
    return _NAME_AS_ID.fullmatch(patient_id.strip()) is not None
