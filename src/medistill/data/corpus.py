"""A corpus on disk, opened for reading: one row per image."""

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, UInt8

from medistill.data.columns import column_faults, struct_columns
from medistill.data.ids import by_group
from medistill.data.image import decode_stored
from medistill.data.split import validation_patients
from medistill.data.study import NO_REPORT
from medistill.errors import CallError, MedistillError
from medistill.system.checksums import ChecksumError, pieces, say_without
from medistill.system.isolated import decoding
from medistill.system.json_files import read_json
from medistill.system.pieces import Pieces

FORMAT = 1
"""Version of the layout; a corpus of another version is refused."""
CARD = "card.json"
TABLE = "data-00000-of-00001.arrow"
"""The one Arrow file, named as `datasets.load_from_disk` expects it."""
_PARTS = {"findings": list, "splits": dict, "sha256": str, "images": int}  # of the card, used by the reader


class Rows:
    """Rows of a corpus: ids, text and labels as whole columns, images decoded one at a time.

    Small to pickle: a worker process maps the corpus again instead of receiving its bytes.
    """

    def __init__(self, corpus: "Corpus", indices: np.ndarray) -> None:
        self.corpus = corpus
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getstate__(self) -> dict[str, Any]:
        return {"corpus": self.corpus, "indices": self.indices}

    def stored(self, i: int) -> bytes:
        """The image as it is stored, encoded."""
        return self.corpus.cell("image", int(self.indices[i]))

    def image(self, i: int) -> UInt8[np.ndarray, "h w"]:
        """8-bit grey; MedistillError names the row of an image that cannot be read."""
        file = self.stored(i)  # a damaged one says so itself
        try:
            with decoding():
                return decode_stored(file)
        except MedistillError as error:
            raise MedistillError(
                f"the image in row {self.indices[i]} of the corpus cannot be used: {error}; "
                "`medistill check` counts all such rows: prepare the corpus again without them"
            ) from error

    def decoded(self, i: int) -> UInt8[np.ndarray, "h w"]:
        """The same; MedistillError says why not, and nothing else."""
        with decoding():
            return decode_stored(self.stored(i))

    def mask(self, i: int, finding: str) -> UInt8[np.ndarray, "h w"] | None:
        """Where the finding is, 255 or 0; None if the source marks no such place."""
        if finding not in self.corpus.findings:
            raise CallError(
                f"no finding `{finding}` in the corpus; it has {', '.join(self.corpus.findings) or 'none'}"
            )
        png = self.corpus.cell("mask", int(self.indices[i]))[finding]
        return None if png is None else decode_stored(png)

    def regions(self, i: int) -> dict[str, Bool[np.ndarray, "h w"]]:
        """Where the findings are that the source marks in image i, by mask or else by boxes; none is empty.

        A box holds the pixels that it touches.
        """
        row = int(self.indices[i])
        masks, boxes = (self.corpus.cell(name, row) or {} for name in ("mask", "boxes"))
        regions = {name: decode_stored(png) > 0 for name, png in masks.items() if png is not None}
        boxed = {name: box for name, box in boxes.items() if box and name not in regions}
        if boxed:
            shape = self.image(i).shape
            regions |= {name: boxed_region(box, (shape[0], shape[1])) for name, box in boxed.items()}
        return {name: region for name, region in regions.items() if region.any()}

    def column(self, name: str) -> list[Any]:
        """Any column by its name in the corpus, as Python values."""
        if name not in self.corpus.table.column_names:
            raise CallError(
                f"no column `{name}` in the corpus; it has {', '.join(self.corpus.table.column_names)}"
            )
        return self.corpus.table[name].take(self.indices).to_pylist()

    @cached_property
    def texts(self) -> list[str]:
        return self.column("text")

    @cached_property
    def study_ids(self) -> list[str]:
        return self.column("study_id")

    @cached_property
    def patient_ids(self) -> list[str]:
        """One spelling a patient, be there several in the column."""
        spellings: list[str] = self.column("patient_id")
        first = self.corpus.first_spellings
        return [first.get(spelling, spelling) for spelling in spellings]

    @cached_property
    def views(self) -> list[str | None]:
        return self.column("view")

    @cached_property
    def labels(self) -> Float32[np.ndarray, "n f"]:
        """1 present, 0 absent, -1 uncertain, NaN not stated; a column per finding of the corpus."""
        return self.corpus.labels[self.indices]

    def select(self, indices: Sequence[int] | np.ndarray) -> "Rows":
        """Some of these rows, by their position among them, in the order given."""
        return Rows(self.corpus, self.indices[np.asarray(indices, dtype=np.int64)])


class Corpus:
    """An opened corpus: its card, and its rows by split."""

    def __init__(self, path: Path, card: dict[str, Any]) -> None:
        self.path = path
        self.card = card
        self.findings: tuple[str, ...] = tuple(card["findings"])
        self.splits: tuple[str, ...] = tuple(card["splits"])

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("path", "card", "findings", "splits")}

    def split(self, name: str) -> Rows:
        if name not in self.splits:
            raise CallError(f"no split `{name}` in the corpus; it has {', '.join(self.splits)}")
        return Rows(self, np.flatnonzero(self.split_names == name))

    @cached_property
    def split_names(self) -> np.ndarray:
        """The split of each row."""
        return np.array(self.table["split"].to_pylist())

    @cached_property
    def table(self) -> pa.Table:
        """The whole corpus, memory-mapped: opening it reads almost nothing."""
        known = self.sums
        try:
            table = pa.ipc.open_stream(pa.memory_map(str(self.path / TABLE))).read_all()
            if known is None:
                table.validate(full=True)  # a wrong offset would end the process by a signal
        except (pa.ArrowException, OSError):
            raise _damaged(self.path, f"{TABLE} cannot be read: cut short, or not Arrow") from None
        return table

    @cached_property
    def labels(self) -> Float32[np.ndarray, "n f"]:
        labels = np.full((self.table.num_rows, len(self.findings)), np.nan, np.float32)
        for number, column in enumerate(struct_columns(self.table["labels"])):
            labels[:, number] = column.cast(pa.float32()).to_numpy(zero_copy_only=False)
        return labels

    @cached_property
    def first_spellings(self) -> dict[str, str]:
        """Other spellings of patient ids -> the first, over all splits; empty if `prepare` met none."""
        if not self.card.get("patient_ids"):
            return {}
        spellings: list[str] = self.table["patient_id"].unique().to_pylist()
        known = by_group(spellings)
        return {spelling: first for spelling in spellings if (first := known.first(spelling)) != spelling}

    def cell(self, name: str, row: int) -> Any:
        """One value; an image is compared with its checksum."""
        value = self._columns[name][row].as_py()
        if name == "image" and self.sums and value is not None and not self.sums.fits(row, value):
            raise _damaged(self.path, f"the image in row {row} does not fit its checksum")
        return value

    @cached_property
    def sums(self) -> Pieces | None:
        """Checksums of the table, all but the images compared, so that no row is read that is not as written.

        None for a corpus of an earlier version.
        """
        try:
            return pieces(self.path / TABLE)
        except ChecksumError as error:
            raise _damaged(self.path, error.reason) from None

    @cached_property
    def _columns(self) -> dict[str, pa.ChunkedArray]:
        return {name: self.table[name] for name in self.table.column_names}


def boxed_region(boxes: Sequence[float], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The pixels of an image of that shape that some box touches; left, top, right, bottom of each."""
    region = np.zeros(shape, bool)
    for left, top, right, bottom in np.reshape(np.asarray(boxes, np.float64), (-1, 4)):
        down = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
        region[down, max(0, math.floor(left)) : max(0, math.ceil(right))] = True
    return region


def open_corpus(path: Path | str) -> Corpus:
    """Open a folder written by `medistill prepare`."""
    folder = Path(path)
    if not folder.is_dir():
        raise CallError(f"no such folder: {folder}; a corpus is a folder written by `medistill prepare`")
    if not (folder / CARD).exists():
        raise CallError(f"not a corpus: {folder} holds no {CARD}; `medistill prepare` writes one")
    card = read_json(folder / CARD, f"not a corpus: the {CARD} of {folder} cannot be read as JSON")
    _check_card(folder, card)
    corpus = Corpus(folder, card)
    _check_table(corpus)
    if corpus.sums is None:
        say_without(folder)
    return corpus


def training_rows(corpus: Corpus) -> tuple[Rows, Rows]:
    """The rows to train on and those to validate on, cut by patient from the former if there is no `val`.

    Rows without a report are neither.
    """
    train = _with_report(corpus.split("train"))
    if not len(train):
        raise CallError(
            "no image of the train split has a report: a corpus of images and labels can be evaluated on, "
            "not trained on"
        )
    validation = _with_report(corpus.split("val")) if "val" in corpus.splits else ()
    return (train, validation) if isinstance(validation, Rows) and len(validation) else cut_by_patient(train)


def cut_by_patient(rows: Rows) -> tuple[Rows, Rows]:
    """The rows to go on with, and those of the patients to validate on."""
    held_out = validation_patients(rows.patient_ids)
    validates = np.array([patient in held_out for patient in rows.patient_ids])
    return rows.select(np.flatnonzero(~validates)), rows.select(np.flatnonzero(validates))


def _with_report(rows: Rows) -> Rows:
    reported = [i for i, text in enumerate(rows.texts) if text != NO_REPORT]
    return rows if len(reported) == len(rows) else rows.select(reported)


def _check_card(folder: Path, card: Any) -> None:
    if not isinstance(card, dict):
        raise _damaged(folder, f"{CARD} is not a JSON object")
    if (version := card.get("format")) != FORMAT:
        kind = "of no known version" if version is None else f"of format {version}"
        raise CallError(
            f"the corpus {folder} is {kind}, this medistill reads format {FORMAT}: prepare it again"
        )
    for name, kind in _PARTS.items():
        if not isinstance(card.get(name), kind):
            raise _damaged(folder, f"{CARD} has no usable `{name}`")
    if not all(isinstance(finding, str) for finding in card["findings"]):
        raise _damaged(folder, f"{CARD} has no usable `findings`")


def _check_table(corpus: Corpus) -> None:
    if not (corpus.path / TABLE).is_file():
        raise CallError(f"the corpus {corpus.path} is incomplete: {TABLE} is missing; prepare it again")
    table, images = corpus.table, corpus.card["images"]
    if table.num_rows != images:
        raise _damaged(corpus.path, f"{TABLE} has {table.num_rows:,} rows, {CARD} says {images:,}")
    for fault in column_faults(table, corpus.findings, corpus.splits):
        raise _damaged(corpus.path, f"{TABLE} {fault}")


def _damaged(folder: Path, why: str) -> CallError:
    return CallError(f"the corpus {folder} is damaged ({why}): prepare it again")


def corpus_hash(corpus: Any) -> str:
    """The hash of its rows from the corpus's card; that of the card itself where it names none."""
    card = json.dumps(corpus.card, sort_keys=True, default=str).encode()
    return str(corpus.card.get("sha256") or hashlib.sha256(card).hexdigest())
