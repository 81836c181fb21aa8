"""The images to label: all rows of a corpus, or the files below a folder."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medistill.data.ahead import Ahead
from medistill.data.corpus import Corpus, Rows, corpus_hash, open_corpus
from medistill.errors import CallError, MedistillError
from medistill.serve.reading import Seen
from medistill.system.files import LEADS_OUT, walk
from medistill.system.isolated import GaveUp
from medistill.system.shown import written

_BYSTANDERS = {
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".htm", ".log"),
    *(".pdf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".ipynb", ".safetensors"),
}
"""Files that nobody takes for a radiograph: counted, not labeled. Any other file gets a row."""


@dataclass(frozen=True, kw_only=True)
class FolderImages:
    """Every file below a folder but hidden ones, DICOMDIR and documents, by path."""

    root: Path
    names: tuple[str, ...]
    """Paths below the root, with forward slashes."""
    others: dict[str, int]
    """How many files were not taken for images, by suffix."""
    read: Callable[[Sequence[Path]], Generator[Seen]]
    """Reads image files."""
    outside: frozenset[str] = frozenset()
    """Links among the names that lead out of the folder and are not followed."""
    columns: tuple[str, ...] = ("image",)

    def __len__(self) -> int:
        return len(self.names)

    def cells(self, start: int, end: int) -> list[tuple[str, ...]]:
        """What names each of these images in labels.csv, by column."""
        return [(written(name),) for name in self.names[start:end]]

    def seen(self, start: int) -> Generator[Seen]:
        """The images from one on."""
        names = self.names[start:]
        with closing(self.read([self.root / name for name in names if name not in self.outside])) as read:
            for name in names:
                yield GaveUp(LEADS_OUT) if name in self.outside else next(read)

    def described(self) -> dict[str, Any]:
        """What they are, without a name: equal for equal files in equal places."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(os.fsencode(name) + b"\0%d\0" % self._size(name))
        return {"kind": "folder", "files": len(self), "sha256_of_names_and_sizes": digest.hexdigest()}

    def _size(self, name: str) -> int:
        path = self.root / name
        return path.stat().st_size if name not in self.outside and path.is_file() else 0


def folder_images(
    root: Path,
    read: Callable[[Sequence[Path]], Generator[Seen]],
    *,
    without: Sequence[Path] = (),
    follow_links: bool = False,
) -> FolderImages:
    """The files below `root`; CallError if there are none to label.

    read           reads image files, as `read_images` does
    without        files and folders that are ours
    follow_links   take what links lead to that lead out of `root`; a row each that says so otherwise
    """
    if not root.is_dir():
        raise CallError(f"no such folder: {root}")
    names: list[str] = []
    outside: set[str] = set()
    others: Counter[str] = Counter()
    for folder, files, links in walk(root, follow_links=follow_links, without=without):
        for name in (*files, *links):
            path = (folder / name).relative_to(root).as_posix()
            if name.upper() == "DICOMDIR":
                continue
            if (suffix := Path(name).suffix.lower()) in _BYSTANDERS:
                others[suffix] += 1
            else:
                names.append(path)
        outside.update((folder / name).relative_to(root).as_posix() for name in links)
    if len(outside) == len(names) > 0:
        raise CallError(f"nothing in {root} but {len(outside):,} of this: {LEADS_OUT}")
    if not names:
        seen = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(3))
        raise CallError(f"no PNG, JPEG or DICOM files in {root}; it holds {seen or 'no files'}")
    return FolderImages(
        root=root,
        names=tuple(sorted(names)),
        others=dict(sorted(others.items())),
        read=read,
        outside=frozenset(outside),
    )


@dataclass(frozen=True, kw_only=True)
class CorpusImages:
    """Every row of a corpus, whatever its split."""

    corpus: Corpus
    rows: Rows
    size: int | None = None
    """The side of the square that images may come letterboxed to."""
    columns: tuple[str, ...] = ("row", "study_id", "patient_id", "split")

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self, start: int, end: int) -> list[tuple[str, ...]]:
        """What names each of these rows in labels.csv, by column."""
        some = self.rows.select(np.arange(start, end))
        named = (some.column(name) for name in self.columns[1:])
        return [(str(row), *names) for row, *names in zip(range(start, end), *named, strict=True)]

    def seen(self, start: int) -> Generator[Seen]:
        """The images from one row on, decoded ahead."""
        with Ahead(self.rows, size=self.size, most=len(self) - start) as ahead:
            ahead.expect(range(start, len(self)))
            for row in range(start, len(self)):
                yield _seen(ahead, row)

    def one(self, row: int) -> Seen:
        """The image of one row, or why not."""
        return _seen(self.rows, row)

    def described(self) -> dict[str, Any]:
        """Which corpus it is."""
        return {"kind": "corpus", "rows": len(self), "sha256": corpus_hash(self.corpus)}


def _seen(rows: Rows | Ahead, row: int) -> Seen:
    try:
        return rows.decoded(row)
    except MedistillError as error:
        return GaveUp(str(error))


def corpus_images(path: Path) -> CorpusImages:
    """All rows of the corpus in that folder."""
    corpus = open_corpus(path)
    return CorpusImages(corpus=corpus, rows=Rows(corpus, np.arange(corpus.table.num_rows)))
