"""Let a torchvision built for CUDA be imported beside a CPU build of torch.

Its compiled operators do not load there, and on import it describes two of them that are then unknown.
Naming them is enough: open_clip and timm use torchvision's transforms alone, which are Python.
Loaded by `pytest -p` before anything imports torchvision; where the operators load, it changes nothing.
"""

import importlib.util
import sys
from pathlib import Path

import torch

OPERATORS = ("nms", "qnms")


def loads() -> bool:
    """Whether torchvision's operators can be loaded, or there is no torchvision at all."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return True
    try:
        for library in Path(found.origin).parent.glob("_C*.so"):
            torch.ops.load_library(library)
    except OSError:
        return False
    return True


if "torchvision" not in sys.modules and not loads():
    named = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        named.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
