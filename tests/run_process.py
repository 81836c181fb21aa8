"""A whole run as a process: recipe as JSON, corpus, run folder, and after how many pairs to die.

With the word `forked` instead, a run for every line of standard input: each in a child, so that none but the
first waits for imports. Tells the child's process id, and then how it ended.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from medistill.pretrain import pretrain
from medistill.recipe import from_config


def in_children(train: Callable[[], None]) -> None:
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            train()
            os._exit(0)
        print(child, flush=True)  # noqa: T201
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    torch.set_num_threads(1)
    recipe, data, run, *dying = sys.argv[1:]
    forked = dying == ["forked"]
    pairs_left = int(dying[0]) if dying and not forked else -1

    def watch(pairs: int, pairs_in_all: int, loss: float) -> None:
        """The last rank kills itself after so many pairs."""
        if 0 <= pairs_left <= pairs and os.environ["RANK"] == str(int(os.environ["WORLD_SIZE"]) - 1):
            os.kill(os.getpid(), signal.SIGKILL)

    def train() -> None:
        pretrain(from_config(json.loads(recipe)), Path(data), Path(run), watch=watch)

    if forked:
        in_children(train)
    else:
        train()
