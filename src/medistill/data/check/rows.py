"""Texts that hold what looks like rows of the table they came from: other patients', by a stray mark."""

import re
from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np

from medistill.data.check.flag import Flag, flag_of_rows, hashed
from medistill.data.corpus import Corpus
from medistill.data.study import NO_REPORT

_CELL = re.compile(r"(?:^|(?<=[\s,;|\"]))([^\s,;|\"]*[\d.][^\s,;|\"]*)\"?[,;\t|](?=[^\s,;|])", re.MULTILINE)
"""A word with a digit or a point, with a separator behind it and no blank: prose has one there."""
_FILE = re.compile(r".+\.(png|jpe?g|dcm|dicom|tiff?|nii|nii\.gz)", re.IGNORECASE)
_ID = re.compile(r"(?=.*\d)\S{4,}")
_SEVERAL = 2
_TEXTS = ("text", "findings", "impression")


def row_flags(corpus: Corpus) -> Iterator[Flag]:
    """One flag of all rows of such texts, each text once."""
    names = ["study_id", "patient_id"]
    known = {
        name for column in names for name in corpus.table[column].to_pylist() if _ID.fullmatch(name or "")
    }
    texts = [name for name in _TEXTS if name in corpus.table.column_names]
    rows: list[int] = []
    seen: set[int] = set()
    row = 0
    for batch in corpus.table.select([*names, *texts]).to_batches(max_chunksize=256):
        for cells in batch.to_pylist():
            said = {cells[name] for name in texts} - {None, "", NO_REPORT}
            key = hashed("\0".join(sorted(said)))
            if key not in seen and any(holds_rows(text, known) for text in said):
                rows.append(row)
            seen.add(key)
            row += 1
    if rows:
        said = f"{len(rows):,} with file names or ids between separators: rows of other patients, perhaps"
        yield flag_of_rows("rows_in_texts", said, np.array(rows))


def holds_rows(text: str, known: Collection[str]) -> bool:
    """Whether a text may hold rows of a table.

    That is a cell that is the file of an image or one of the `known` ids, or two lines that begin with codes
    of one form.
    """
    cells = list(_CELL.finditer(text))
    if any(_FILE.fullmatch(cell[1]) or cell[1] in known for cell in cells):
        return True
    begun = Counter(_form(cell[1]) for cell in cells if cell.start() == 0 or text[cell.start() - 1] == "\n")
    return any(count >= _SEVERAL for form, count in begun.items() if len(form) > 1)


def _form(code: str) -> str:
    """`aa000` of `MR123`; empty for a code that is too short to be an id."""
    return re.sub(r"\d", "0", re.sub(r"[^\W\d_]", "a", code)) if _ID.fullmatch(code) else ""
