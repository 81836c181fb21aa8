"""Every report text of a corpus measured in one pass, and what is wrong with single ones."""

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from medistill.data.check.flag import Flag, hashed, listed
from medistill.data.check.identifiers import identifiers, is_a_name
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
    names_as_ids: list[int]
    """Rows whose patient id looks like a name, one for each patient id."""


def measure_texts(corpus: Corpus, *, on_progress: Callable[[int, int], None] | None = None) -> Texts:
    """Read every text once; only numbers are kept."""
    images = corpus.table.num_rows
    columns = {name: array(kind) for name, kind in zip(_COLUMNS, "qQqqqbb", strict=True)}
    kinds: dict[str, list[int]] = defaultdict(list)
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
    values = {name: np.array(column, _COLUMNS[name]) for name, column in columns.items()}
    return Texts(**values, identifiers=dict(kinds), names_as_ids=names)


_COLUMNS = {
    "row": np.int64,
    "hash": np.uint64,
    "characters": np.int64,
    "words": np.int64,
    "pieces": np.int64,
    "open": np.bool_,
    "goes_on": np.bool_,
}


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
    """Empty, cut and over-long texts, possible identifiers."""
    empty = texts.row[texts.words == 0]
    if len(empty):
        yield _flag("empty_texts", f"{len(empty):,} without a word", empty)
    cut = _cut(texts)
    if cut.any():
        said = f"{int(cut.sum()):,} of {len(texts.row):,} end in a word that goes on, or without a stop"
        yield _flag("cut_texts", said, texts.row[cut])
    yield from _long(texts)
    if texts.identifiers:
        rows = sorted({row for found in texts.identifiers.values() for row in found})
        counts = {kind: len(found) for kind, found in sorted(texts.identifiers.items())}
        said = f"{len(rows):,} of {len(texts.row):,} texts: "
        said += ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
        yield _flag("identifiers", said, np.array(rows), figures=counts)
    if texts.names_as_ids:
        said = f"{len(texts.names_as_ids):,} patient ids look like names: replace them before anything else"
        yield _flag("identifying_ids", said, np.array(texts.names_as_ids))


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
    told = "; ".join(
        f"{count:,} over {limit} tokens ({', '.join(n for n, m in limits.items() if str(m) == limit)})"
        for limit, count in counts.items()
        if count
    )
    most = max(limits.values())
    rows = texts.row[texts.pieces > (most if counts[str(most)] else min(limits.values()))]
    yield _flag("long_texts", f"of {len(texts.row):,}: {told}", rows, figures=counts)


def _flag(
    check: str, said: str, rows: Int64[np.ndarray, " m"], figures: Mapping[str, int] | None = None
) -> Flag:
    return Flag(
        check=check,
        severity="warning",
        said=said,
        count=len(rows),
        cases=listed(rows[:, None]),
        figures=dict(figures or {}),
    )
