"""Images a second that `medistill embed` takes in, by the code of two checkouts in turns.

    git worktree add ../before REVISION
    python benchmarks/embed.py --before ../before --studies 18000

Phantoms of 224 pixels become a corpus, with the towers of `quickstart` at random weights to embed it: one
process a turn imports what it needs and then embeds all images and reports to a table. The time is that of
embedding, the start of processes that decode included; the ratio is that of the medians. Vectors of both are
compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from medistill.data.corpus import open_corpus, training_rows
from medistill.data.prepare.run import prepare
from medistill.data.sources import PhantomSource
from medistill.model.dual import build_model
from medistill.model.saved import save_model
from medistill.recipe import quickstart
from medistill.serve.index.table import open_table, vectors_of
from medistill.system.isolated import cores

HERE = Path(__file__).resolve().parents[1]
TURN = """
import sys, time
from pathlib import Path
from medistill.serve.index.embed import embed
start = time.perf_counter()
embed(*map(Path, sys.argv[1:4]), device=sys.argv[4])
print(time.perf_counter() - start)
"""
"""Of one process: model, corpus, table and device in, seconds out."""


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        told = compared(Path(folder), options)
    if options.json:
        print(json.dumps(told, indent=1))
        return
    for name in ("before", "after"):
        print(f"{name:<7} {told[name]['images_per_second']:7.0f} images/s  {told[name]['seconds']} s")
    print(f"after is {told['ratio']:.2f} times as fast; vectors differ by {told['difference']:.1e} at most")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the project")
    parser.add_argument("--after", type=Path, default=HERE, help="another one (default: this one)")
    parser.add_argument("--studies", type=int, default=3000, help="phantom studies, 1.12 images each")
    parser.add_argument("--size", type=int, default=224, help="side of an image in pixels (default: 224)")
    parser.add_argument("--model", type=Path, help="a run or model folder (default: towers of quickstart)")
    parser.add_argument("--device", default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def compared(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both in turns: medians, their ratio, and the largest difference between two vectors' numbers."""
    corpus, model = folder / "corpus", options.model or folder / "model"
    prepare(PhantomSource(count=options.studies, size=options.size), corpus, workers=cores())
    if not options.model:
        rows, _ = training_rows(open_corpus(corpus))
        save_model(build_model(quickstart(), rows.texts, rows.patient_ids), model)
    images = open_corpus(corpus).table.num_rows
    trees = {"before": options.before, "after": options.after}
    seconds: dict[str, list[float]] = {name: [] for name in trees}
    for repeat in range(options.repeats):
        for name in list(trees)[:: 1 if repeat % 2 else -1]:  # whoever comes first pays for a cold cache
            table = folder / f"{name}.arrow"
            table.unlink(missing_ok=True)
            seconds[name].append(turn(trees[name], model, corpus, table, options.device))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "images": images,
        **{
            name: {
                "seconds": [round(time, 2) for time in seconds[name]],
                "images_per_second": round(images / medians[name], 1),
            }
            for name in trees
        },
        "ratio": round(medians["before"] / medians["after"], 3),
        "difference": difference(folder / "before.arrow", folder / "after.arrow"),
    }


def turn(tree: Path, model: Path, corpus: Path, table: Path, device: str) -> float:
    """Seconds."""
    words = [sys.executable, "-c", TURN, str(model), str(corpus), str(table), device]
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve() / "src")}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def difference(one: Path, other: Path) -> float:
    """The largest between numbers at the same place of the vectors of images and of reports."""
    return float(np.abs(vectors(one) - vectors(other)).max())


def vectors(path: Path) -> np.ndarray:
    table = open_table(path)
    dim, names = table.about.dim, ("image_vector", "text_vector")
    columns = [batch[name].drop_null() for name in names for batch in table.batches()]
    return np.concatenate([vectors_of(column, dim) for column in columns])


if __name__ == "__main__":
    main()
