"""A table of image files and texts as a source."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from medistill.data.image import MAX_PIXELS, Depth
from medistill.data.report.sections import TextChoice
from medistill.data.rule_labels.lexicon import FINDINGS
from medistill.data.sources.parts.cells import (
    age_in_years,
    date_of,
    is_missing,
    joined,
    sex_name,
    view_name,
)
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading, image_work, options_of
from medistill.data.sources.parts.labels import LabelColumns
from medistill.data.sources.parts.paths import named_file
from medistill.data.sources.parts.reports import counted, drafted
from medistill.data.sources.parts.table import Row, Table, check_ids
from medistill.data.study import NO_REPORT, Reject, Study
from medistill.errors import CallError, MedistillError

_OPTIONAL = ("study_id", "split", "view", "sex", "age", "findings", "impression")
_NAMES = ("image", "text", "patient_id", "date", *_OPTIONAL)
_LEAK = "images of one patient could then land in two splits, and every figure would be too good"


@dataclass(frozen=True, kw_only=True)
class CsvSource:
    """A CSV file with a row per image. Rows of the same study id are one study.

    Columns left unnamed are the ones with the names of a corpus, if the file has them; the date's is always
    to be named. Sex, age, date and view are left empty where a cell cannot be understood.
    """

    name: ClassVar[str] = "csv"

    path: Path
    """The CSV file: UTF-8, a header line; separated by commas, semicolons, tabs or bars."""
    image: str = "image"
    """Column of the image file, relative to the CSV file's folder."""
    text: tuple[str, ...] = ("text",)
    """Column of the text to train on; several are joined as sentences."""
    without_reports: bool = False
    """Keep rows without a text too, or a file that has no texts: they are evaluated by their labels, and
    never trained on."""
    patient_id: str = "patient_id"
    """Column that is equal for all rows of a patient."""
    patient_is_study: bool = False
    """Take every study as a patient of its own where no column tells patients apart."""
    study_id: str | None = None
    """Column that is equal for all images of a study; without one, each row is a study."""
    split: str | None = None
    """Column of train, val or test; without one, patients are split by hash."""
    view: str | None = None
    """Column of the view: PA, AP, lateral."""
    sex: str | None = None
    """Column of the sex: M, F."""
    age: str | None = None
    """Column of the age in years."""
    date: str | None = None
    """Column of the date, as 2020-01-31; without one, no dates are read. They are stored as given: shift them
    first, all dates of a patient by the same number of days."""
    findings: str | None = None
    """Column of the report's findings section."""
    impression: str | None = None
    """Column of the report's impression section."""
    labels: tuple[str, ...] = ()
    """Columns that hold 1, 0, -1 or nothing; each is a finding."""
    classes: tuple[str, ...] = ()
    """Columns that hold a category; each of their values is a finding."""
    classes_separator: str | None = None
    """What stands between several categories in one cell of --classes: | for Effusion|Edema."""
    sections: TextChoice | None = None
    """The text is a whole report: train on these sections of it, and keep findings and impression apart."""
    rule_labels: bool = False
    """Label common findings by rules from the report, which is to be in English (docs/reports.md)."""
    size: int | None = None
    """Shrink images whose longer side is larger, in pixels; default: keep them as they are."""
    max_pixels: int = MAX_PIXELS
    """Refuse images of more pixels than this."""
    depth: Depth = 8
    """Bits of grey to store; 16 keeps more than 8 where the file has them, as PNG."""

    def made_with(self) -> dict[str, Any]:
        # Not named where it is off, so that a corpus made before there was such a flag is known again.
        return options_of(self, but=("path",) if self.classes_separator else ("path", "classes_separator"))

    def open(self) -> Reading:
        table = Table(self.path, known={*_NAMES, *self._named()})
        columns = self._columns(table)
        check_ids(table, (columns["patient_id"], columns["study_id"]))
        split = columns["split"]
        if split and not self._has_splits(table, split, columns):
            columns["split"] = None
        if self.rule_labels and (self.labels or self.classes):
            raise CallError("--rule-labels and --labels or --classes: labels come from one of them")
        labels = LabelColumns(table, self.labels, self.classes, self.classes_separator)
        notes = dict[str, Any]()
        return Reading(
            units=counted(self._drafts(table, columns, labels), notes),
            work=image_work(self.size, self.max_pixels, self.depth),
            findings=FINDINGS if self.rule_labels else labels.findings,
            expected=table.length,
            notes=notes,
        )

    def _named(self) -> list[str]:
        """All columns named by a flag."""
        single = [getattr(self, name) for name in _NAMES if name != "text"]
        return [*(name for name in single if name), *self.text, *self.labels, *self.classes]

    def _columns(self, table: Table) -> dict[str, str | None]:
        """Which column holds what; None for what the file does not tell."""
        table.require(self.image, "--image")
        if not self.text:
            raise CallError(f"--text names no column; {table.found}")
        for column in self._texts(table):
            table.require(column, "--text")
        for column in self.labels:
            table.require(column, "--labels")
        for column in self.classes:
            table.require(column, "--classes")
        if self.date:
            table.require(self.date, "--date")
        columns = {name: table.optional(getattr(self, name), name) for name in _OPTIONAL} | {
            "date": self.date
        }
        return columns | {"patient_id": None if self.patient_is_study else self._patient_column(table)}

    def _texts(self, table: Table) -> tuple[str, ...]:
        has_none = self.without_reports and self.text == ("text",) and "text" not in table.header
        return () if has_none else self.text

    def _patient_column(self, table: Table) -> str:
        if self.patient_id in table.header:
            return self.patient_id
        raise CallError(
            f"no patient column `{self.patient_id}`: {_LEAK}; {table.found}; name one with "
            "--patient-id, or pass --patient-is-study to take every study as its own patient"
        )

    def _has_splits(self, table: Table, column: str, columns: dict[str, str | None]) -> bool:
        """Whether the column says anything; if it does, it must for every row that is used."""
        missing = {
            row.number: is_missing(row.cells[column]) for row in table.rows() if not self._fault(row, columns)
        }
        empty = [number for number, is_empty in missing.items() if is_empty]
        if 0 < len(empty) < len(missing):
            raise CallError(
                f"{len(empty):,} of {len(missing):,} rows have no `{column}`, first row {empty[0]}: split by "
                "hash, their patients could land in two splits. Fill the column, or take it out of the file, "
                "to have all patients split by hash"
            )
        return len(empty) < len(missing)

    def _drafts(
        self, table: Table, columns: dict[str, str | None], labels: LabelColumns
    ) -> Iterator[Draft | Reject]:
        for row in table.rows():
            try:
                if fault := self._fault(row, columns):
                    raise MedistillError(fault)
                yield self._draft(row, columns, labels)
            except MedistillError as error:
                yield Reject(row=row.number, reason=str(error), path=row.cells.get(self.image, ""))

    def _fault(self, row: Row, columns: dict[str, str | None]) -> str | None:
        if row.fault:
            return row.fault
        if is_missing(row.cells[self.image]):
            return "no image named"
        if not self._text(row):
            return "empty text"
        ids = (columns["patient_id"], columns["study_id"])
        empty = [column for column in ids if column and is_missing(row.cells[column])]
        return f"no {empty[0]}" if empty else None

    def _draft(self, row: Row, columns: dict[str, str | None], labels: LabelColumns) -> Draft:
        def cell(name: str) -> str:
            column = columns[name]
            return "" if column is None else row.cells[column].strip()

        name = row.cells[self.image].strip()
        study_id = cell("study_id") or f"row {row.number}"
        study = Study(
            study_id=study_id,
            patient_id=study_id if self.patient_is_study else cell("patient_id"),
            text=self._text(row),
            findings=cell("findings") or None,
            impression=cell("impression") or None,
            labels=labels.of(row),
            split=cell("split") or None,
            sex=sex_name(cell("sex")),
            age=age_in_years(cell("age")),
            date=date_of(cell("date")),
            source=self.name,
        )
        file = ImageFile(
            row=row.number, path=named_file(self.path.parent, name), name=name, view=view_name(cell("view"))
        )
        return drafted(study, (file,), self.sections, self.rule_labels)

    def _text(self, row: Row) -> str:
        text = joined([row.cells[column] for column in self.text if column in row.cells])
        return text or (NO_REPORT if self.without_reports else "")
