"""`medistill label` as a process that kills itself after so many batches."""

import os
import signal
import sys
from pathlib import Path

import torch

from medistill.serve.label import label
from medistill.serve.wanted import Wanted

if __name__ == "__main__":
    torch.set_num_threads(1)
    run, films, out, prompts, batches = sys.argv[1:]
    left = int(batches)

    def on_progress(stage: str, done: int, total: int | None) -> None:
        global left
        left -= stage == "labeling"
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    label(run, Path(out), Wanted(prompts=Path(prompts)), images=Path(films), on_progress=on_progress)
