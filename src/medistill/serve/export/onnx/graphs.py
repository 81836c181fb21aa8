"""Both towers as ONNX graphs: 8-bit grey or token ids in, unit embeddings out."""

import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from medistill.errors import MedistillError
from medistill.model.dual import DualEncoder
from medistill.model.foreign.model import first_line

IMAGE, TEXT = "image.onnx", "text.onnx"
IMAGE_INPUT, TEXT_INPUTS, OUTPUT = "images", ("input_ids", "attention_mask"), "embeddings"
OPSET = 18
LARGEST = 1_500_000_000
"""Bytes of weights that stay inside the .onnx file; protobuf's own limit is 2 GB."""
_WORDS = 8


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


def write_graphs(model: DualEncoder, folder: Path) -> None:
    """image.onnx and text.onnx of a model in eval mode on the CPU; batch and text length are left open.

    MedistillError naming the tower that torch cannot turn into a graph.
    """
    batch = torch.export.Dim("batch")
    length = torch.export.Dim("length", min=2, max=model.max_tokens)
    images = (torch.zeros(2, model.size, model.size, dtype=torch.uint8),)
    tokens = torch.ones(2, min(_WORDS, model.max_tokens), dtype=torch.long)
    texts = (tokens, tokens.clone())  # torch takes one tensor given twice for a single input
    open_text = {name: {0: batch, 1: length} for name in TEXT_INPUTS}
    _write(_Images(model), images, (IMAGE_INPUT,), {IMAGE_INPUT: {0: batch}}, folder / IMAGE)
    _write(_Texts(model), texts, TEXT_INPUTS, open_text, folder / TEXT)


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
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*treespec", category=FutureWarning)
            warnings.filterwarnings("ignore", message=".*The axis name", category=UserWarning)
            yield
    finally:
        log.setLevel(level)
