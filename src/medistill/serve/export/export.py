"""A model of ours into the format of another tool, whole or not at all."""

from pathlib import Path
from typing import Any, Literal, get_args

from medistill.data.corpus import open_corpus
from medistill.errors import CallError
from medistill.evaluate.prompts.file import read_prompts
from medistill.model.any_model import is_foreign
from medistill.model.saved import load
from medistill.serve.export.hub import export_hub
from medistill.serve.export.onnx.int8 import add_int8
from medistill.serve.export.onnx.write import export_onnx
from medistill.serve.export.open_clip import export_open_clip
from medistill.system.atomic import atomic_folder
from medistill.system.progress import Progress

Format = Literal["onnx", "hub", "open_clip"]


def export(
    model: str,
    to: Format,
    out: Path,
    *,
    int8: bool = False,
    data: Path | None = None,
    split: str = "test",
    prompts: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the folder `out`; returns what its export.json says.

    int8    with `onnx`: graphs of 8 bits as well, and what they lose on a split of the corpus `data`, asked
            for its findings by the file `prompts`
    CallError for a model of another library, a tower the format cannot express, or `out` being there.
    """
    _expect_possible(model, to, int8, data)
    asked = read_prompts(prompts) if prompts else None
    corpus = open_corpus(data) if data else None
    source = load(model)
    with atomic_folder(out) as folder:
        if to == "hub":
            return export_hub(source, folder, Path(model))
        if to == "open_clip":
            return export_open_clip(source, folder, out)
        told = export_onnx(source, folder)
        if corpus is None:
            return told
        return add_int8(folder, corpus, split=split, prompts=asked, on_progress=on_progress)


def _expect_possible(model: str, to: str, int8: bool, data: Path | None) -> None:
    if to not in get_args(Format):
        raise CallError(f"--to is {to!r}; formats: {', '.join(get_args(Format))}")
    if is_foreign(model):
        raise CallError(
            f"{model} is a model of another library, whose own tools export it; give a run or model folder "
            "of medistill"
        )
    if int8 != (data is not None):
        raise CallError(
            "--int8 and --data go together: 8 bits change the figures, and a labeled corpus tells how much"
        )
    if int8 and to != "onnx":
        raise CallError(f"--int8 goes with --to onnx, not with {to}")
