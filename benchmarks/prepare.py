"""Preparation: seconds for a thousand radiographs of 1024 pixels, and peak memory over the number of studies.

python benchmarks/prepare.py [--json] [--images 1000] [--studies 2000 20000]
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medistill.data.image import decode_image, encode_image
from medistill.data.phantom import phantom_studies
from medistill.data.prepare import cores, prepare
from medistill.data.sources.csv import CsvSource

PIXELS, STORED = 1024, 256
DRAWN = 50
"""Phantoms that are drawn; the files are these in turn, each with noise of its own."""
PEAK = """
import resource, sys
from pathlib import Path
from medistill.data.prepare import cores, prepare
from medistill.data.sources.phantom import PhantomSource
if __name__ == "__main__":
    prepare(PhantomSource(count=int(sys.argv[1])), Path(sys.argv[2]), workers=cores())
    status = Path("/proc/self/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def write_files(folder: Path, images: int) -> Path:
    """JPEG files of 1024 pixels with the grain of a detector, and their table."""
    random = np.random.default_rng(0)
    drawn = [decode_image(study.images[0].image) for study in phantom_studies(DRAWN, seed=0, size=512)]
    large = [np.asarray(Image.fromarray(film).resize((PIXELS, PIXELS)), np.float32) for film in drawn]
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient_id", "text"])
        for number in range(images):
            noisy = large[number % DRAWN] + random.normal(0, 4, (PIXELS, PIXELS)).astype(np.float32)
            film = np.clip(noisy, 0, 255).astype(np.uint8)
            (folder / f"{number}.jpg").write_bytes(encode_image(film, lossy=True))
            table.writerow([f"{number}.jpg", f"p{number}", "No pleural effusion."])
    return folder / "table.csv"


def seconds(images: int) -> float:
    """For all of them, by as many processes as there are cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = CsvSource(path=write_files(folder, images), size=STORED)
        start = time.monotonic()
        prepare(source, folder / "corpus", workers=cores())
        return time.monotonic() - start


def peak(studies: int) -> dict[str, Any]:
    """Most memory that the preparing process, and the largest of its workers, held."""
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "prepare_phantoms.py"
        script.write_text(PEAK)
        command = [sys.executable, str(script), str(studies), str(Path(name) / "corpus")]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    parent, worker = (int(word) * 1024 for word in told)
    return {"studies": studies, "peak_bytes": parent, "worker_peak_bytes": worker}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--studies", type=int, nargs="*", default=[2000, 20000])
    asked = options.parse_args()
    rows = [peak(studies) for studies in asked.studies]
    found = {"images": asked.images, "seconds": seconds(asked.images), "memory": rows}
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{asked.images} JPEG files of {PIXELS} pixels to {STORED}: {found['seconds']:.1f} s, {cores()} cores"
    )
    for row in rows:
        own, worker = row["peak_bytes"] / 1e6, row["worker_peak_bytes"] / 1e6
        print(f"{row['studies']:>7,} studies: {own:.0f} MB, largest worker {worker:.0f} MB")


if __name__ == "__main__":
    main()
