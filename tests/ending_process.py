"""A run as a process that says how many DDP modules are alive when the process group is destroyed."""

import gc
import json
import sys
from pathlib import Path

from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from medistill.errors import MedistillError
from medistill.pretrain import pretrain
from medistill.recipe import from_config

destroy = distributed.destroy_process_group


def counted() -> None:
    alive = sum(isinstance(found, DistributedDataParallel) for found in gc.get_objects())
    sys.stdout.write(f"alive: {alive}\n")
    destroy()


if __name__ == "__main__":
    recipe, data, run, ending = sys.argv[1:]
    distributed.destroy_process_group = counted

    def watch(pairs: int, pairs_in_all: int, loss: float) -> None:
        if ending == "failing":
            raise MedistillError("as asked")

    try:
        pretrain(from_config(json.loads(recipe)), Path(data), Path(run), watch=watch)
    except MedistillError as error:
        sys.exit(str(error))
