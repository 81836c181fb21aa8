"""Reports in a CSV file or in text files, and what a free text says."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medistill.data.report.cleaning import clean
from medistill.data.report.markup import without_markup
from medistill.data.report.sections import Sections, TextChoice, read_sections, training_text
from medistill.data.rule_labels.labels import label_sections
from medistill.data.sources.parts.cells import has_words, is_missing, joined
from medistill.data.sources.parts.draft import Draft, ImageFile
from medistill.data.sources.parts.table import Row, Table, check_not_rounded
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError, MedistillError
from medistill.system.files import LEADS_OUT, read_regular, walk

Join = Literal["accession", "study", "file"]
WHOLE_TEXTS = "texts_kept_whole"
"""In the card: how many texts have headers of a language that is not known, and were kept whole."""
_DEFAULT_KEYS = {"accession": "accession", "study": "study_uid", "file": "file"}
_BETWEEN = {"accession": r"[\\;,|]", "study": r"[\\;,|\s]", "file": r"[;|]"}
_FINAL = {
    *("final", "f", "signed", "verified", "approved", "complete", "completed", "authenticated"),
    *("corrected", "c", "amended", "addendum"),  # later than final, and as good
}


@dataclass(frozen=True, slots=True)
class Report:
    """One version of a report."""

    row: int
    """Row or file number, from 1."""
    keys: tuple[str, ...]
    """Accession numbers, study UIDs or file names of the images it is about."""
    is_final: bool
    text: str
    findings: str | None = None
    impression: str | None = None
    fault: str | None = None
    """Why it cannot be used."""


Reports = Iterable[Report]
"""Read anew for each pass, so that the texts are never held all at once."""


class CsvReports:
    """A row is a report, or a version of one."""

    def __init__(
        self,
        path: Path,
        join: Join,
        *,
        key: str | None,
        text: tuple[str, ...],
        optional: Mapping[str, str | None],
    ) -> None:
        """`optional` are the columns of status, findings and impression, if they are named."""
        key = key or _DEFAULT_KEYS[join]
        if not text:
            raise CallError("--text names no column")
        table = Table(path, known={key, *text, *optional, *filter(None, optional.values())})
        table.require(key, "--key")
        for column in text:
            table.require(column, "--text")
        self._join: Join = join
        self._table, self._key, self._text = table, key, text
        self._optional = {name: table.optional(column, name) for name, column in optional.items()}

    def __iter__(self) -> Iterator[Report]:
        for row in self._table.rows():
            if row.fault:
                yield Report(row.number, (), False, "", fault=row.fault)
            else:
                yield self._report(row)

    def _report(self, row: Row) -> Report:
        def cell(name: str) -> str:
            column = self._optional[name]
            return row.cells[column].strip() if column else ""

        check_not_rounded(row, (self._key,), self._table)
        return Report(
            row.number,
            keys_of(row.cells[self._key], self._join),
            cell("status").lower() in _FINAL,
            joined([row.cells[column] for column in self._text]),
            cell("findings") or None,
            cell("impression") or None,
        )


class TextReports:
    """A text file is a report; its name without `.txt` is the key."""

    def __init__(self, folder: Path, join: Join, *, follow_links: bool = False) -> None:
        self._join: Join = join
        self._folder, self._follow_links = folder, follow_links

    def __iter__(self) -> Iterator[Report]:
        for row, (path, leads_out) in enumerate(self._files(), start=1):
            keys = keys_of(path.stem, self._join)
            try:
                if leads_out:
                    raise MedistillError(LEADS_OUT)
                yield Report(row, keys, False, report_text(path))
            except MedistillError as error:
                yield Report(row, keys, False, "", fault=str(error))

    def _files(self) -> Iterator[tuple[Path, bool]]:
        """The text files, and the links that are not followed; which they are of the two."""
        for folder, names, outside in walk(self._folder, follow_links=self._follow_links):
            yield from ((folder / name, True) for name in outside)
            yield from ((folder / name, False) for name in names if name.lower().endswith(".txt"))


def keys_of(text: str, join: Join) -> tuple[str, ...]:
    """What a cell, a file's name or a header names: one accession number or several, and so on."""
    if is_missing(text):
        return ()
    parts = (part.strip() for part in re.split(_BETWEEN[join], text))
    return tuple(part.replace("\\", "/").removeprefix("./") for part in parts if part)


def winners(reports: Reports) -> dict[int, list[str]]:
    """The rows that are used, in order, each with the keys it speaks for.

    Of several versions a final one wins, else the last; the later one of two that are final.
    """
    best: dict[str, tuple[bool, int]] = {}
    for report in reports:
        if report.text and not report.fault:
            for key in report.keys:
                best[key] = max(best.get(key, (False, 0)), (report.is_final, report.row))
    if not best:
        raise MedistillError("no report has both a key and a text")
    used: dict[int, list[str]] = {}
    for key, (_, row) in best.items():
        used.setdefault(row, []).append(key)
    return dict(sorted(used.items()))


LARGEST = 1_000_000
"""Bytes of a text file that is taken for a report; the longest of the public sets has a hundredth."""


def report_text(path: Path) -> str:
    """The words of a text file; empty where it holds none."""
    try:
        text = text_of(path).strip()
    except UnicodeDecodeError:
        raise MedistillError("report is not UTF-8 text") from None
    except OSError:
        raise MedistillError("report cannot be read") from None
    return text if has_words(text) else ""


def text_of(path: Path) -> str:
    """What a file of UTF-8 holds, its lines ended as Python ends them; OSError and UnicodeDecodeError are the
    caller's."""
    data = read_regular(path, LARGEST + 1)
    if len(data) > LARGEST:
        raise MedistillError(f"report of more than {LARGEST:,} bytes")
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def drafted(
    study: Study, files: tuple[ImageFile, ...], choice: TextChoice | None, rule_labels: bool
) -> Draft:
    """The study without the markup of hospital systems, with its sections, and with labels read by rules.

    choice   sections to train on; None leaves the words of the text as they are
    Raises MedistillError where the report has none of them.
    """
    if study.text == NO_REPORT:
        return Draft(study=study, files=files)
    study = _without_markup(study)
    if choice is None and not rule_labels:
        return Draft(study=study, files=files)
    sections = read_sections(study.text)
    is_whole = sections.is_whole
    if choice is not None:
        text = training_text(sections, choice)
        if not text:
            raise MedistillError("empty text")
        study = replace(
            study,
            text=text,
            findings=study.findings or sections.findings or None,
            impression=study.impression or sections.impression or None,
        )
    if study.findings or study.impression:
        sections = Sections(findings=clean(study.findings or ""), impression=clean(study.impression or ""))
    study = replace(study, labels=label_sections(sections)) if rule_labels else study
    return Draft(study=study, files=files, is_whole=is_whole and choice is not None)


def counted(units: Iterable[Draft | Reject], notes: dict[str, Any]) -> Iterator[Draft | Reject]:
    """The same units; how many texts were kept whole stands in the notes when all were asked for."""
    for unit in units:
        if isinstance(unit, Draft) and unit.is_whole:
            notes[WHOLE_TEXTS] = notes.get(WHOLE_TEXTS, 0) + 1
        yield unit


def _without_markup(study: Study) -> Study:
    texts = {name: text for name in ("text", "findings", "impression") if (text := getattr(study, name))}
    plain = {name: without_markup(text).strip() for name, text in texts.items()}
    changed = {name: text or None for name, text in plain.items() if text != texts[name].strip()}
    if "text" in changed and not has_words(plain["text"]):
        raise MedistillError("empty text")
    return replace(study, **changed) if changed else study
