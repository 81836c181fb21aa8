"""A model as ONNX: graphs in float and 8 bits, tokenizer and an account, checked against PyTorch."""

import itertools
import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from medistill.errors import MedistillError, first_line
from medistill.model.dual import DualEncoder
from medistill.model.foreign.onnx import (
    IMAGE_INPUT,
    INT8,
    TEXT_INPUTS,
    TOKENIZER,
    OnnxGraphs,
    graph_files,
    onnxruntime,
)
from medistill.model.tokenizer import pad_id, tokenize
from medistill.serve.export.faithful import ALLOWED, described, expect_equal, write_account

IMAGE, TEXT, OUTPUT = "image.onnx", "text.onnx", "embeddings"
OPSET = 18
"""That of torch's own operators: to any other its exporter converts the graph afterwards."""
LARGEST = 1_500_000_000
"""Bytes of weights that stay inside the .onnx file; protobuf's own limit is 2 GB."""
OPERATORS = ("MatMul", "Gemm", "Gather")
"""Linear layers and tables of embeddings. Convolutions stay in float: with weights of 8 bits and inputs
quantized on the way they take 1.7 to 4 times as long (docs/export.md)."""
WEIGHTS = "linear layers: signed, a scale a channel; tables: unsigned, one scale"
_WORDS = 8
_BATCHES = (1, 2, 7)
_SEED = 0


def export_onnx(model: DualEncoder, folder: Path, *, int8: bool = False) -> dict[str, Any]:
    """Write image.onnx, text.onnx, tokenizer.json and export.json into an empty folder; the account.

    int8   quantized graphs beside them
    MedistillError if the float graphs differ from PyTorch by more than 1e-4, or cannot be made.
    """
    runtime = onnxruntime("onnx", "onnxscript")
    model = model.eval()
    write_graphs(model, folder)
    tokenize(model.tokenizer, ["a"], model.max_tokens)  # sets how texts are cut and padded, which is saved
    (folder / TOKENIZER).write_text(model.tokenizer.to_str(pretty=True), "utf-8")
    files = {"image": IMAGE, "text": TEXT}
    account = {**described(model, "onnx"), **_interface(model), "files": files}
    write_account(folder, account)
    difference = _largest_difference(model, OnnxGraphs(folder))
    account["checked"] = {
        "against": f"torch {torch.__version__}",
        "by": f"onnxruntime {runtime.__version__}",
        "batches": list(_BATCHES),
        "lengths": _lengths(model),
        "allowed": ALLOWED,
        "largest_difference": expect_equal(difference, "the ONNX graphs"),
    }
    if int8:
        account[INT8] = _quantized(folder, files)
    write_account(folder, account)
    return account


def write_graphs(model: DualEncoder, folder: Path) -> None:
    """image.onnx and text.onnx of a model in eval mode on the CPU; batch and text length are left open.

    MedistillError naming the tower that torch cannot turn into a graph.
    """
    batch = torch.export.Dim("batch")
    length = torch.export.Dim("length", min=2, max=model.max_tokens)  # torch would fix a length of 1
    images = (torch.zeros(2, model.size, model.size, dtype=torch.uint8),)
    tokens = torch.ones(2, min(_WORDS, model.max_tokens), dtype=torch.long)
    texts = (tokens, tokens.clone())  # torch takes one tensor given twice for a single input
    open_text = {name: {0: batch, 1: length} for name in TEXT_INPUTS}
    _write(_Images(model), images, (IMAGE_INPUT,), {IMAGE_INPUT: {0: batch}}, folder / IMAGE)
    _write(_Texts(model), texts, TEXT_INPUTS, open_text, folder / TEXT)


class _Images(nn.Module):
    def __init__(self, model: DualEncoder):
        super().__init__()
        self.model = model

    def forward(self, images: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b d"]:
        return self.model.embed_images(images)


class _Texts(nn.Module):
    def __init__(self, model: DualEncoder):
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Int[Tensor, "b l"], attention_mask: Int[Tensor, "b l"]
    ) -> Float[Tensor, "b d"]:
        return self.model.embed_tokens(input_ids, attention_mask.bool())


def _write(
    tower: nn.Module,
    inputs: tuple[Tensor, ...],
    names: tuple[str, ...],
    shapes: Mapping[str, Mapping[int, Any]],
    file: Path,
) -> None:
    size = sum(p.numel() * p.element_size() for p in tower.parameters())
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                tower.eval(),
                inputs,
                str(file),
                input_names=list(names),
                output_names=[OUTPUT],
                dynamic_shapes={name: dict(open_to) for name, open_to in shapes.items()},
                opset_version=OPSET,
                external_data=size > LARGEST,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise MedistillError(
            f"torch cannot write the {file.stem} tower as an ONNX graph: {first_line(error)}"
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """Without the exporter's remarks on its own internals, on torchvision, and on names of open axes."""
    with _errors_alone("torch.onnx"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*treespec", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*The axis name", category=UserWarning)
        yield


@contextmanager
def _errors_alone(name: str | None) -> Generator[None]:
    """Of the logger of that name, or the root one."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _interface(model: DualEncoder) -> dict[str, Any]:
    return {
        "opset": OPSET,
        "images": {
            "input": IMAGE_INPUT,
            "type": "uint8",
            "shape": ["batch", model.size, model.size],
            "output": OUTPUT,
        },
        "texts": {
            "inputs": list(TEXT_INPUTS),
            "type": "int64",
            "shape": ["batch", "length"],
            "output": OUTPUT,
            "tokenizer": TOKENIZER,
            "max_tokens": model.max_tokens,
            "pad_id": pad_id(model.tokenizer),
        },
    }


def _lengths(model: DualEncoder) -> list[int]:
    return sorted({2, min(9, model.max_tokens), model.max_tokens})


@torch.no_grad()
def _largest_difference(model: DualEncoder, graphs: OnnxGraphs) -> float:
    """Over batches and text lengths that the graphs were not traced with, padding included."""
    random = np.random.default_rng(_SEED)
    words = model.tokenizer.get_vocab_size()
    largest: list[float] = []
    for batch in _BATCHES:
        images = random.integers(0, 256, (batch, model.size, model.size), dtype=np.uint8)
        largest.append(_apart(graphs.embed_images(images), model.embed_images(torch.from_numpy(images))))
    for batch, length in itertools.product(_BATCHES, _lengths(model)):
        ends = random.integers(1, length + 1, (batch, 1))
        ends[0] = length
        mask = np.arange(length) < ends
        tokens = np.where(mask, random.integers(0, words, (batch, length)), pad_id(model.tokenizer))
        ours = model.embed_tokens(torch.from_numpy(tokens), torch.from_numpy(mask))
        largest.append(_apart(graphs.embed_tokens(tokens, mask.astype(np.int64)), ours))
    return max(largest)


def _apart(theirs: np.ndarray, ours: Tensor) -> float:
    """The largest difference; infinity where one is no number."""
    apart = np.abs(theirs - ours.numpy())
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")


def _quantized(folder: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """Write the 8-bit graphs beside the float ones; what the account says of them."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = {tower: f"{Path(name).stem}.{INT8}.onnx" for tower, name in files.items()}
    for tower, name in files.items():
        # It asks, through the root logger, for a preparation that torch has given these graphs already.
        with _errors_alone(None):
            quantize_dynamic(
                folder / name,
                folder / small[tower],
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=len(graph_files(folder, name)) > 1,
            )
    sizes = {"float": _bytes(folder, files), INT8: _bytes(folder, small)}
    return {"files": small, "operators": list(OPERATORS), "weights": WEIGHTS, "bytes": sizes}


def _bytes(folder: Path, files: Mapping[str, str]) -> int:
    return sum(path.stat().st_size for name in files.values() for path in graph_files(folder, name))
