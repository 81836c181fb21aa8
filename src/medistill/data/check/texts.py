"""Every report text of a corpus measured in one pass, and what is wrong with single ones.

Words that may name a person are counted by kind, never quoted.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from medistill.data.check.flag import Flag, flag_of_rows, hashed
from medistill.data.check.markup import markup
from medistill.data.corpus import Corpus
from medistill.data.report.sections import normalized_text
from medistill.data.study import NO_REPORT
from medistill.recipe import RECIPES

CLOSED_BY_CUSTOM = 0.9
"""Share of closed texts from which on one that is not counts as cut; below, it is the corpus's style."""
SAME_LENGTH = 3
"""Open texts of exactly the longest length that show a limit of the source, such as 255 characters."""
LEAST_LIMIT = 100
"""Characters below which one length of several texts is chance."""
_ENDS = frozenset(".!?:;)]}\"'*_>\u2026\u3002\uff01\uff1f\u061f\u0964\u201d\u2019\u00bb")
_GOES_ON = re.compile(
    r"(?:[,(\[/\u2013\u2014-]|\b(?:the|a|an|of|and|or|with|without|in|to|is|are|at|by|for|from|no|than))\s*$",
    re.IGNORECASE,
)
_PIECES = re.compile(r"\w+|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?。]\s+\S")
_TEXTS = ("text", "findings", "impression")
_COLUMNS = {
    "row": np.int64,
    "hash": np.uint64,
    "characters": np.int64,
    "words": np.int64,
    "pieces": np.int64,
    "open": np.bool_,
    "goes_on": np.bool_,
}
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


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Figures of every study's text; an entry per study and distinct text, of the first such row.

    Studies without a report have none.
    """

    row: Int64[np.ndarray, " t"]
    hash: UInt64[np.ndarray, " t"]
    """Of the normalized text."""
    characters: Int64[np.ndarray, " t"]
    words: Int64[np.ndarray, " t"]
    """Of the normalized text."""
    pieces: Int64[np.ndarray, " t"]
    """Words and punctuation marks: no tokenizer at hand makes fewer tokens of them."""
    open: Bool[np.ndarray, " t"]
    """Ends without a mark that ends a sentence, having such a mark before."""
    goes_on: Bool[np.ndarray, " t"]
    """Ends in a comma, or in a word that no sentence ends in."""
    identifiers: Mapping[str, list[int]]
    """Kind -> rows whose text, findings or impression may hold one."""
    markup: Mapping[str, list[int]]
    """Kind -> rows whose text, findings or impression seem to hold such markup."""
    names_as_ids: list[int]
    """Rows whose patient id looks like a name, one for each patient id."""


def measure_texts(corpus: Corpus, *, on_progress: Callable[[int, int], None] | None = None) -> Texts:
    """Read every text once; only numbers are kept."""
    images = corpus.table.num_rows
    columns = {name: array(kind) for name, kind in zip(_COLUMNS, "qQqqqbb", strict=True)}
    kinds: dict[str, list[int]] = defaultdict(list)
    marked: dict[str, list[int]] = defaultdict(list)
    names: list[int] = []
    seen: set[int] = set()
    for row, study, patient, texts in _rows(corpus):
        if on_progress and (row % 256 == 255 or row == images - 1):
            on_progress(row + 1, images)
        plain = normalized_text(texts[0])
        key = hashed(plain)
        study_text = hashed(f"{study}\0{key}")
        if study_text in seen:
            continue
        seen.add(study_text)
        if is_a_name(patient) and (known := hashed(f"patient {patient}")) not in seen:
            seen.add(known)
            names.append(row)
        if texts[0] == NO_REPORT:
            continue
        for column, value in zip(columns.values(), (row, key, *_figures(texts[0], plain)), strict=True):
            column.append(value)
        for kind in sorted(identifiers("\n".join(texts))):
            kinds[kind].append(row)
        for kind in sorted(markup("\n".join(texts))):
            marked[kind].append(row)
    values = {name: np.array(column, _COLUMNS[name]) for name, column in columns.items()}
    return Texts(**values, identifiers=dict(kinds), markup=dict(marked), names_as_ids=names)


def _rows(corpus: Corpus) -> Iterator[tuple[int, str, str, tuple[str, str, str]]]:
    """Row number, study id, patient id and the three texts, a batch in memory at a time."""
    names = ["study_id", "patient_id", *(name for name in _TEXTS if name in corpus.table.column_names)]
    row = 0
    for batch in corpus.table.select(names).to_batches(max_chunksize=256):
        for cells in batch.to_pylist():
            texts = (cells["text"] or "", cells.get("findings") or "", cells.get("impression") or "")
            yield row, cells["study_id"] or "", cells["patient_id"] or "", texts
            row += 1


def _figures(text: str, plain: str) -> tuple[int, int, int, bool, bool]:
    ended = text.rstrip()
    is_open = bool(ended) and ended[-1] not in _ENDS and bool(_SENTENCE_END.search(ended))
    goes_on = plain.count(" ") >= 3 and bool(_GOES_ON.search(ended))
    return len(text), len(plain.split()), len(_PIECES.findall(text)), is_open, goes_on


def single_text_flags(texts: Texts) -> Iterator[Flag]:
    """Empty, cut and over-long texts, markup, possible identifiers."""
    empty = texts.row[texts.words == 0]
    if len(empty):
        yield flag_of_rows("empty_texts", f"{len(empty):,} without a word", empty)
    cut = _cut(texts)
    if cut.any():
        said = f"{int(cut.sum()):,} of {len(texts.row):,} end in a word that goes on, or without a stop"
        yield flag_of_rows("cut_texts", said, texts.row[cut])
    yield from _long(texts)
    for check, kinds in (("markup", texts.markup), ("identifiers", texts.identifiers)):
        if kinds:
            yield _of_kinds(check, kinds, len(texts.row))
    if texts.names_as_ids:
        said = f"{len(texts.names_as_ids):,} patient ids look like names: replace them before anything else"
        yield flag_of_rows("identifying_ids", said, np.array(texts.names_as_ids))


def _of_kinds(check: str, kinds: Mapping[str, list[int]], texts: int) -> Flag:
    rows = sorted({row for named in kinds.values() for row in named})
    counts = {kind: len(named) for kind, named in sorted(kinds.items())}
    said = f"{len(rows):,} of {texts:,} texts: "
    said += ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
    return flag_of_rows(check, said, np.array(rows), figures=counts)


def _cut(texts: Texts) -> Bool[np.ndarray, " t"]:
    """Which texts look cut: by their last word, by the corpus's custom, or by a common longest length."""
    cut = texts.goes_on.copy()
    several = texts.words >= 4
    if several.any() and 1 - texts.open[several].mean() >= CLOSED_BY_CUSTOM:
        cut |= texts.open & several
    length = texts.characters.max(initial=0)
    longest = texts.open & (texts.characters == length)
    if length >= LEAST_LIMIT and len(np.unique(texts.hash[longest])) >= SAME_LENGTH:
        cut |= longest
    return cut


def _long(texts: Texts) -> Iterator[Flag]:
    """Against the tokens of every ready recipe; the rows are those beyond the most of them."""
    limits = {name: recipe().max_tokens for name, recipe in RECIPES.items()}
    counts = {str(limit): int((texts.pieces > limit).sum()) for limit in sorted(set(limits.values()))}
    if not any(counts.values()):
        return
    over = "; ".join(
        f"{count:,} over {limit} tokens ({', '.join(n for n, m in limits.items() if str(m) == limit)})"
        for limit, count in counts.items()
        if count
    )
    most = max(limits.values())
    rows = texts.row[texts.pieces > (most if counts[str(most)] else min(limits.values()))]
    yield flag_of_rows("long_texts", f"of {len(texts.row):,}: {over}", rows, figures=counts)


def identifiers(text: str) -> frozenset[str]:
    """The kinds of identifiers the text may hold."""
    return frozenset(kind for kind, pattern in KINDS.items() if pattern.search(text))


def is_a_name(patient_id: str) -> bool:
    """Whether an id is written as a name: DOE^JANE, Doe, Jane or Jane Doe."""
    return _NAME_AS_ID.fullmatch(patient_id.strip()) is not None
