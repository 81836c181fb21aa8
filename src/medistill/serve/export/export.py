"""A model of ours into the format of another tool, whole or not at all."""

from pathlib import Path
from typing import Any, Literal, get_args

from medistill.errors import CallError
from medistill.model.any_model import is_foreign
from medistill.model.saved import load
from medistill.serve.export.hub import export_hub
from medistill.serve.export.onnx import export_onnx
from medistill.serve.export.open_clip import CONFIG, export_open_clip
from medistill.system.atomic import atomic_folder
from medistill.system.checksums import add_sums

Format = Literal["onnx", "hub", "open_clip"]


def export(model: str, to: Format, out: Path, *, int8: bool = False) -> dict[str, Any]:
    """Write the folder `out`; returns what its export.json says.

    int8    with `onnx`: graphs of 8 bits as well, which `open_model` knows as onnx:OUT:int8
    CallError for a model of another library, a tower the format cannot express, or `out` being there.
    """
    _expect_possible(model, to, int8)
    source = load(model)
    with atomic_folder(out) as folder:
        if to == "hub":
            account = export_hub(source, folder, Path(model))
        elif to == "open_clip":
            account = export_open_clip(source, folder, out)
        else:
            account = export_onnx(source, folder, int8=int8)
        add_sums(folder, *_read_again(folder))
    return account


def _read_again(folder: Path) -> list[str]:
    """All but what people read and may change; so is the place of a folder in open_clip's configuration."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path.as_posix() for path in files if path.suffix not in (".md", ".txt") and path.name != CONFIG]


def _expect_possible(model: str, to: str, int8: bool) -> None:
    if to not in get_args(Format):
        raise CallError(f"--to is {to!r}; formats: {', '.join(get_args(Format))}")
    if is_foreign(model):
        raise CallError(
            f"{model} is a model of another library, whose own tools export it; give a run or model folder "
            "of medistill"
        )
    if int8 and to != "onnx":
        raise CallError(f"--int8 goes with --to onnx, not with {to}")
