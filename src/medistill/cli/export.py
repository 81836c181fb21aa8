"""`medistill export`: its flags, and what it says of an export."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from medistill.cli.terminal import print_json, say
from medistill.errors import CallError
from medistill.html.words import in_units


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
        int8: With `onnx`: also graphs with weights of 8 bits. What they lose, `medistill evaluate MODEL
            --against onnx:OUT:int8` measures; the whole call is printed, with the three flags below.
        data: A labeled corpus to measure on.
        split: Its split.
        prompts: JSON file of what to ask for there: finding -> {"positive": [...], "negative": [...]}.
        json: Print export.json on standard output.
    """
    from medistill.serve.export.export import export as run

    if data and not int8:
        raise CallError("--data goes with --int8: it names the corpus to measure 8 bits on")
    account = run(model, to, out, int8=int8)
    report_export(account, out, json)
    if int8:
        call = ["medistill", "evaluate", model, "--against", f"onnx:{out}:int8", "--data", data or "CORPUS"]
        call += ["--split", split] if split != "test" else []
        call += ["--prompts", prompts] if prompts else []
        say(f"what 8 bits lose: {shlex.join(map(str, call))} --out comparison")


def report_export(account: Mapping[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(account)
    checked = account["checked"]
    if checked["by"]:
        say(f"largest difference {checked['largest_difference']:.1e} under {checked['by']}")
    else:
        say(f"not checked: {checked['reason']}")
    if "int8" in account:
        sizes = account["int8"]["bytes"]
        say(f"size         {in_units(sizes['float'])} float, {in_units(sizes['int8'])} int8")
    say(f"export: {out}")
