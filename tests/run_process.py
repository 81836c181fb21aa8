"""A whole run as a process: recipe as JSON, corpus, run folder, and after how many pairs to die."""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from medistill.pretrain import pretrain
from medistill.recipe import from_config

if __name__ == "__main__":
    torch.set_num_threads(1)
    recipe, data, run, *dying = sys.argv[1:]
    pairs_left = int(dying[0]) if dying else -1

    def watch(pairs: int, pairs_in_all: int, loss: float) -> None:
        """The last rank kills itself after so many pairs."""
        if 0 <= pairs_left <= pairs and os.environ["RANK"] == str(int(os.environ["WORLD_SIZE"]) - 1):
            os.kill(os.getpid(), signal.SIGKILL)

    pretrain(from_config(json.loads(recipe)), Path(data), Path(run), watch=watch)
