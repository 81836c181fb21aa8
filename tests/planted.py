"""Corpora of phantoms with faults planted in them, for the tests of `medistill check`."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from medistill.data.corpus import CARD, TABLE, Corpus, open_corpus
from medistill.data.image import decode_image, encode_image
from medistill.data.phantom import phantom_studies
from medistill.data.phantom.findings import FINDINGS
from medistill.data.prepare.writer import write_corpus
from tests.conftest import each_a_unit

Row = dict[str, Any]


def phantom_corpus(out: Path, count: int = 40, size: int = 64, seed: int = 0) -> Path:
    studies = phantom_studies(count, seed=seed, size=size)
    write_corpus(
        each_a_unit(studies), out, source="phantom", made_with={}, findings=tuple(FINDINGS), val=0.2, test=0.2
    )
    return out


def planted(corpus: Path, out: Path, change: Callable[[list[Row]], object]) -> Corpus:
    """The corpus after `change` was done to its rows, which `write_corpus` would refuse to write."""
    table = open_corpus(corpus).table
    rows = table.to_pylist()
    change(rows)
    out.mkdir()
    card = json.loads((corpus / CARD).read_text())
    (out / CARD).write_text(json.dumps(card | {"images": len(rows)}))
    with (out / TABLE).open("wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        for start in range(0, len(rows), 16):
            stream.write_batch(pa.RecordBatch.from_pylist(rows[start : start + 16], table.schema))
    return open_corpus(out)


def first(rows: list[Row], split: str) -> int:
    """Number of the first row of a split."""
    return next(number for number, row in enumerate(rows) if row["split"] == split)


def copy_image(change: Callable[[np.ndarray], bytes]) -> Callable[[list[Row]], None]:
    """A change: the first test image becomes that of the first training image, encoded by `change`."""

    def plant(rows: list[Row]) -> None:
        image = decode_image(rows[first(rows, "train")]["image"])
        rows[first(rows, "test")]["image"] = change(image)

    return plant


def as_jpeg(image: np.ndarray, quality: int = 75) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def resized(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = (round(side * scale) for side in image.shape)
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def as_png(image: np.ndarray) -> bytes:
    return encode_image(image)


def plant_leaks(rows: list[Row]) -> None:
    """The same patient, the same study, the same image and the same image re-encoded, each once."""
    train = [row for row in rows if row["split"] == "train"]
    test = [row for row in rows if row["split"] == "test"]
    val = [row for row in rows if row["split"] == "val"]
    test[0]["patient_id"] = train[0]["patient_id"]
    val[0]["study_id"] = train[1]["study_id"]
    test[1]["image"] = train[2]["image"]
    val[1]["image"] = as_jpeg(resized(decode_image(train[3]["image"]), 0.5))
