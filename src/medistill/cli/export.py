"""`medistill export`: its flags, and what it says of an export."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from medistill.cli.terminal import print_json, say, stages
from medistill.html.words import figure, in_units


def export(
    model: str,
    /,
    *,
    to: Literal["onnx", "hub", "open_clip"],
    out: Path,
    int8: bool = False,
    data: Path | None = None,
    split: str = "test",
    prompts: Path | None = None,
    json: bool = False,
) -> None:
    """The model as other tools load it, in a folder of its own, checked against the original.

    Example: medistill export run --to onnx --out exported --int8 --data corpus

    Args:
        model: Run or model folder.
        to: `onnx`: every model, for onnxruntime. `hub`: ViT + BERT with the pooling `cls`, for transformers'
            VisionTextDualEncoderModel. `open_clip`: ViT + BERT, for open_clip's local-dir:OUT.
        out: The folder to write; it appears whole or not at all.
        int8: With `onnx`: also graphs with weights of 8 bits, and what they lose on a labeled corpus.
        data: That corpus.
        split: Its split.
        prompts: JSON file of what to ask for there: finding -> {"positive": [...], "negative": [...]}.
        json: Print export.json on standard output.
    """
    from medistill.serve.export.export import export as run

    with stages() as on_progress:
        told = run(
            model, to, out, int8=int8, data=data, split=split, prompts=prompts, on_progress=on_progress
        )
    report_export(told, out, json)


def report_export(told: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(told)
    checked = told["checked"]
    if checked["by"]:
        say(f"largest difference {checked['largest_difference']:.1e} under {checked['by']}")
    else:
        say(f"not checked: {checked['reason']}")
    if "int8" in told:
        int8 = told["int8"]
        for name in ("auroc_macro", "i2t_r@10", "t2i_r@10"):
            figures = int8["figures"]["float"][name], int8["figures"]["int8"][name]
            say(f"{name:<12} float {figure(figures[0])}")
            say(f"{'':<12} int8  {figure(figures[1])}; less float {figure(int8['int8_less_float'][name])}")
        for what in ("images", "texts"):
            say(f"{what:<12} int8 is {int8['speed'][what]['ratio']:.2f} times as fast as float, one thread")
        say(f"size         {in_units(int8['bytes']['float'])} float, {in_units(int8['bytes']['int8'])} int8")
    say(f"export: {out}")
