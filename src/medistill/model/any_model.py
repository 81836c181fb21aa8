"""Any model by its name: ours, transformers', open_clip's, or an ONNX export."""

import json
from pathlib import Path

import torch

from medistill.model.dual import DualEncoder
from medistill.model.foreign import onnx as foreign_onnx
from medistill.model.foreign import open_clip as foreign_open_clip
from medistill.model.foreign.model import ForeignModel
from medistill.model.saved import load
from medistill.system.checksums import read_checked
from medistill.system.device import chosen_device

_FOREIGN = (foreign_open_clip.PREFIX, foreign_onnx.PREFIX, "hf:")


def open_model(name: str | Path, device: str = "cpu") -> DualEncoder | ForeignModel:
    """The model of that name, in eval mode; reads no pickle that could run code.

    name    a run or model folder of ours, `hf:` before a hub name or folder of transformers,
            `open_clip:NAME:PRETRAINED` as open_clip spells them, or `onnx:FOLDER` and `onnx:FOLDER:int8` for
            the graphs that `medistill export` wrote, which stay on the CPU
    device  `auto` (the first card, else the CPU), `cpu`, `cuda` or `cuda:N`; CallError if it is not there
    """
    name = str(name)
    if name.startswith(foreign_onnx.PREFIX):
        return foreign_onnx.open_onnx(name.removeprefix(foreign_onnx.PREFIX))
    place = chosen_device(device)
    if place.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # figures are to be those of float32, on a card too
    if name.startswith(foreign_open_clip.PREFIX):
        return _moved(foreign_open_clip.open_open_clip(name.removeprefix(foreign_open_clip.PREFIX)), place)
    if name.startswith("hf:"):
        from medistill.model.foreign.hf import open_hf

        return _moved(open_hf(name.removeprefix("hf:")), place)
    return load(name, device)


def _moved(model: ForeignModel, place: torch.device) -> ForeignModel:
    model.network.to(place)
    return model


def is_foreign(name: str | Path) -> bool:
    """Whether the name is that of a model in the format of another library."""
    return str(name).startswith(_FOREIGN)


def is_here(name: str) -> bool:
    """Whether the name is that of a folder of this machine, so that nothing need be asked of the network."""
    kind = next((prefix for prefix in _FOREIGN if name.startswith(prefix)), "")
    rest = name.removeprefix(kind)
    if kind == foreign_open_clip.PREFIX:
        return rest.startswith("local-dir:")
    return not kind or Path(rest.removesuffix(f":{foreign_onnx.INT8}")).is_dir()


def public_name(name: str | Path) -> str:
    """What to call the model on a page: its recipe and objective, or its name in a hub; never a folder."""
    if is_foreign(name):
        return ":".join(part for part in str(name).split(":") if not Path(part).exists())
    try:
        config = json.loads(read_checked(Path(name) / "config.json"))
        return f"{config['name']}-{config['objective']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a model folder"
