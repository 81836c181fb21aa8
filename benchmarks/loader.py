"""Pairs per second that the window loader gives, by number of workers.

Drawn radiographs, as grey JPEG files of --stored pixels and a table of their reports, become a corpus by
`prepare csv`; the loader decodes them to 224 pixels with all augmentation and tokenization on. With
--for-card augmentation is left to a card, which need not be there: what the host alone does in a run on one.
"""

import argparse
import csv
import json
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from medistill.data.corpus import Rows, open_corpus
from medistill.data.image import decode_image, encode_image
from medistill.data.loader import WindowLoader
from medistill.data.loader.wording import wordings
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import prepare
from medistill.data.sources.csv import CsvSource
from medistill.model.tokenizer import pad_id, tokenize, train_tokenizer

SIZE = 224
"""Side in pixels of what the model is given."""
MAX_TOKENS = 128
WINDOWS = 8
"""In a timing."""


def main() -> None:
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: on purpose
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        rows = corpus(Path(folder), options.studies, options.stored)
        results = [measured(rows, workers, options) for workers in options.workers]
    if options.json:
        print(json.dumps(results))
        return
    print(" workers   pairs/s  CPU ms/pair")
    for row in results:
        print(f"{row['workers']:8}{row['pairs_per_second']:10.0f}{row['cpu_ms_per_pair']:13.2f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4], help="numbers to try")
    parser.add_argument("--studies", type=int, default=512, help="studies to draw (default: 512)")
    parser.add_argument("--stored", type=int, default=256, help="side of the files in pixels (default: 256)")
    parser.add_argument("--window", type=int, default=256, help="pairs in a window (default: 256)")
    parser.add_argument("--repeats", type=int, default=7, help="timings to take the median of (default: 7)")
    parser.add_argument("--for-card", action="store_true", help="leave augmentation to a card")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    return parser.parse_args()


def corpus(folder: Path, studies: int, size: int) -> Rows:
    """The training rows of a corpus made of JPEG files of `size` pixels and a table."""
    (folder / "images").mkdir()
    lines: list[dict[str, Any]] = []
    for study in phantom_studies(studies, size=size):
        for number, image in enumerate(study.images):
            name = f"images/{study.study_id}-{number}.jpg"
            (folder / name).write_bytes(encode_image(decode_image(image.image), lossy=True))
            lines.append(
                {
                    "study_id": study.study_id,
                    "patient_id": study.patient_id,
                    "image": name,
                    "text": study.text,
                }
            )
    table = folder / "studies.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    prepare(CsvSource(path=table), folder / "corpus", val=0.0, test=0.0)
    return open_corpus(folder / "corpus").split("train")


def measured(rows: Rows, workers: int, options: argparse.Namespace) -> dict[str, float]:
    """The median of several timings, and the CPU time of all processes from start to end of the workers."""
    words = train_tokenizer(rows.texts, rows.patient_ids, vocabulary=4000, min_patients=1)
    start = cpu_seconds()
    settings = {"size": SIZE, "window": options.window, "seed": 0, "augmented": True, "workers": workers}
    tokens = partial(tokenize, words, max_tokens=MAX_TOKENS)
    texts = wordings(rows, "text", seed=0)
    loader = WindowLoader(rows.image, texts, rows.study_ids, tokens, pad=pad_id(words), **settings)
    loader.source.on_card = options.for_card  # before the workers are there
    windows = (len(window) for epoch in count() for window in loader.windows(epoch))
    timings = [timing(islice(windows, WINDOWS)) for _ in range(1 + options.repeats)]
    del windows, loader  # ends the workers: only then is their time counted
    pairs = sum(pairs for pairs, _ in timings)
    speeds = [n / t for n, t in timings[1:]]  # the first fills caches and starts the workers
    return {
        "workers": workers,
        "pairs_per_second": round(statistics.median(speeds), 1),
        "cpu_ms_per_pair": round(1000 * (cpu_seconds() - start) / pairs, 3),
    }


def timing(windows: Iterator[int]) -> tuple[int, float]:
    """Pairs and seconds."""
    start = time.perf_counter()
    pairs = sum(windows)
    return pairs, time.perf_counter() - start


def cpu_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
