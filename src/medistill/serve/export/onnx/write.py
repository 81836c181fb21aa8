"""A model as ONNX: graphs, tokenizer and an account, checked against PyTorch."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medistill.model.dual import DualEncoder
from medistill.model.tokenizer import pad_id, tokenize
from medistill.serve.export.faithful import ALLOWED, described, expect_equal, write_account
from medistill.serve.export.onnx.graphs import (
    IMAGE,
    IMAGE_INPUT,
    OPSET,
    OUTPUT,
    TEXT,
    TEXT_INPUTS,
    write_graphs,
)
from medistill.serve.export.onnx.model import TOKENIZER, OnnxModel, onnxruntime

_BATCHES = (1, 2, 7)
_SEED = 0


def export_onnx(model: DualEncoder, folder: Path) -> dict[str, Any]:
    """Write image.onnx, text.onnx, tokenizer.json and export.json into an empty folder; the account.

    MedistillError if the graphs differ from PyTorch by more than 1e-4, or cannot be made.
    """
    runtime = onnxruntime()
    model = model.eval()
    write_graphs(model, folder)
    tokenize(model.tokenizer, ["a"], model.max_tokens)  # sets how texts are cut and padded, which is saved
    (folder / TOKENIZER).write_text(model.tokenizer.to_str(pretty=True), "utf-8")
    told = {**described(model, "onnx"), **_interface(model), "files": {"image": IMAGE, "text": TEXT}}
    write_account(folder, told)
    found = _largest_difference(model, OnnxModel(folder))
    told["checked"] = {
        "against": f"torch {torch.__version__}",
        "by": f"onnxruntime {runtime.__version__}",
        "batches": list(_BATCHES),
        "lengths": _lengths(model),
        "allowed": ALLOWED,
        "largest_difference": expect_equal(found, "the ONNX graphs"),
    }
    write_account(folder, told)
    return told


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
def _largest_difference(model: DualEncoder, graphs: OnnxModel) -> float:
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


def _apart(found: np.ndarray, ours: torch.Tensor) -> float:
    """The largest difference; infinity where one is no number."""
    apart = np.abs(found - ours.numpy())
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")
