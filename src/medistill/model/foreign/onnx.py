"""ONNX exports of `medistill export` under onnxruntime, an optional extra."""

import hashlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int, UInt8
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from medistill.data.image import letterbox
from medistill.errors import CallError, MedistillError, first_line
from medistill.model.foreign.model import ForeignModel, tried
from medistill.system.checksums import verify_folder
from medistill.system.json_files import read_json

PREFIX = "onnx:"
INT8 = "int8"
EXPORT, TOKENIZER = "export.json", "tokenizer.json"
IMAGE_INPUT, TEXT_INPUTS = "images", ("input_ids", "attention_mask")


def open_onnx(name: str) -> ForeignModel:
    """The export in the folder FOLDER, or with FOLDER:int8 its graphs of 8 bits; they run on the CPU.

    CallError where onnxruntime is not installed, or the folder holds no such graphs or cannot be read.
    """
    shown, folder = PREFIX + name, name.removesuffix(f":{INT8}")
    try:
        verify_folder(Path(folder))
        graphs = OnnxGraphs(Path(folder), int8=folder != name)
        model = _assembled(graphs)
    except MedistillError:
        raise
    except Exception as error:  # onnxruntime and tokenizers have errors of their own; a changed account more
        raise CallError(f"cannot load {shown}: {first_line(error)}") from error
    return tried(shown, model)


class OnnxGraphs(nn.Module):
    """The graphs in an export's folder, the float ones or those of 8 bits.

    Its state is the SHA-256 of each file, so that its hash tells one export from another.
    CallError if the folder is no ONNX export, or has no graphs of 8 bits.
    """

    def __init__(self, folder: Path, *, int8: bool = False):
        super().__init__()
        runtime = onnxruntime()
        self.account = read_export(folder)
        if int8 and INT8 not in self.account:
            raise CallError(f"the export in {folder} has no 8-bit graphs: make it again with --int8")
        self.int8 = int8
        names = self.account[INT8]["files"] if int8 else self.account["files"]
        for name in names.values():
            if Path(name).name != name:
                raise CallError(f"{EXPORT} in {folder} names a graph {name[:80]!r} outside its folder")
        self._image, self._text = (
            runtime.InferenceSession(folder / names[tower], providers=["CPUExecutionProvider"])
            for tower in ("image", "text")
        )
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        for part, name in {**names, "tokenizer": TOKENIZER}.items():
            self.register_buffer(f"{part}_sha256", _digest(graph_files(folder, name)))

    def embed_images(self, images: UInt8[np.ndarray, "b h w"]) -> Float32[np.ndarray, "b d"]:
        """Unit rows for squares of the model's size."""
        return self._image.run(None, {IMAGE_INPUT: images})[0]

    def embed_tokens(
        self, tokens: Int[np.ndarray, "b l"], mask: Int[np.ndarray, "b l"]
    ) -> Float32[np.ndarray, "b d"]:
        """Unit rows for texts; `mask` is 1 at tokens and 0 at padding."""
        return self._text.run(None, dict(zip(TEXT_INPUTS, (tokens, mask), strict=True)))[0]

    def embed_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "b d"]:
        """Unit rows for texts, of which longer ones are cut."""
        rows = self._tokenizer.encode_batch(list(texts))
        tokens, mask = [row.ids for row in rows], [row.attention_mask for row in rows]
        return self.embed_tokens(np.array(tokens, np.int64), np.array(mask, np.int64))


def _assembled(graphs: OnnxGraphs) -> ForeignModel:
    account = graphs.account
    size = int(account["preprocessing"]["resize"])

    def image_features(pictures: Sequence[Image.Image]) -> Tensor:
        squares = [letterbox(np.asarray(picture), size) for picture in pictures]
        return torch.from_numpy(graphs.embed_images(np.stack(squares)))

    def text_features(texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(graphs.embed_texts(texts))

    return ForeignModel(
        network=graphs,
        image_features=_one_by_one(image_features) if graphs.int8 else image_features,
        text_features=_one_by_one(text_features) if graphs.int8 else text_features,
        scale=float(account["scale"]),
        bias=float(account["bias"]),
        mode="L",
        preprocessing=account["preprocessing"],
    )


def _one_by_one(features: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
    """The same, each item by itself."""
    # 8-bit graphs scale activations by the extremes of the whole batch: beside other items an image would
    # have another embedding, and one that was kept on disk could not be had again.
    return lambda items: torch.cat([features([item]) for item in items])


def read_export(folder: Path) -> dict[str, Any]:
    """The account of an ONNX export; CallError if there is none."""
    expected = f"expected {EXPORT}, which `medistill export --to onnx` writes"
    account = read_json(folder / EXPORT, f"no export in {folder}: {expected}")
    if account["kind"] != "onnx":
        raise CallError(f"the export in {folder} is for {account['kind']}: {expected}")
    return account


def graph_files(folder: Path, name: str) -> list[Path]:
    """The file, and that of the weights beside a graph too large to hold them."""
    return [path for path in (folder / name, folder / f"{name}.data") if path.is_file()]


def _digest(files: Sequence[Path]) -> Tensor:
    """A SHA-256 as 32 numbers; of two files the hash of their hashes."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return torch.tensor(list(hashlib.sha256(b"".join(digests)).digest()), dtype=torch.uint8)


def onnxruntime(*others: str) -> Any:
    """The package, if the others can be imported too; CallError naming the extra that brings them."""
    try:
        for name in others:
            import_module(name)
        return import_module("onnxruntime")
    except ImportError as error:
        raise CallError(
            f"ONNX needs a package that is not installed ({error.name}): pip install 'medistill[export]'"
        ) from error
