"""An ONNX export at work under onnxruntime: images and texts to unit rows, without torch."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8
from PIL import Image
from tokenizers import Tokenizer

from medistill.data.image import grey_array, letterbox
from medistill.errors import CallError
from medistill.serve.export.faithful import EXPORT
from medistill.serve.export.onnx.graphs import IMAGE_INPUT, TEXT_INPUTS

TOKENIZER = "tokenizer.json"
INT8 = "int8"


class OnnxModel:
    """The graphs of an export's folder, the float ones or those of 8 bits.

    threads   of onnxruntime; 0 takes a core each
    CallError if the folder is no ONNX export, or has no graphs of 8 bits.
    """

    def __init__(self, folder: Path, *, int8: bool = False, threads: int = 0):
        runtime = onnxruntime()
        told = read_export(folder)
        if int8 and INT8 not in told:
            raise CallError(f"the export in {folder} has no 8-bit graphs: make it again with --int8")
        graphs = told[INT8]["files"] if int8 else told["files"]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        self._image, self._text = (
            runtime.InferenceSession(str(folder / graphs[tower]), options, ["CPUExecutionProvider"])
            for tower in ("image", "text")
        )
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self.scale: float = told["scale"]
        self.preprocessing: dict[str, Any] = told["preprocessing"]
        self.size = int(told["preprocessing"]["resize"])

    def encode_images(self, images: Sequence[Image.Image | np.ndarray]) -> Float32[np.ndarray, "n d"]:
        """Unit rows for PIL images or 2-D uint8 arrays of any size, as one batch."""
        greys = (grey_array(image) if isinstance(image, Image.Image) else image for image in images)
        return self.embed_images(np.stack([letterbox(grey, self.size) for grey in greys]))

    def encode_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """Unit rows, as one batch; longer texts are cut."""
        rows = self._tokenizer.encode_batch(list(texts))
        return self.embed_tokens(
            np.array([row.ids for row in rows], np.int64),
            np.array([row.attention_mask for row in rows], np.int64),
        )

    def embed_images(self, images: UInt8[np.ndarray, "b h w"]) -> Float32[np.ndarray, "b d"]:
        """What the image graph gives for squares of the model's size."""
        return self._image.run(None, {IMAGE_INPUT: images})[0]

    def embed_tokens(
        self, tokens: Int[np.ndarray, "b l"], mask: Int[np.ndarray, "b l"]
    ) -> Float32[np.ndarray, "b d"]:
        """What the text graph gives; `mask` is 1 at tokens and 0 at padding."""
        return self._text.run(None, dict(zip(TEXT_INPUTS, (tokens, mask), strict=True)))[0]


def read_export(folder: Path) -> dict[str, Any]:
    """The account of an ONNX export; CallError if there is none."""
    try:
        return json.loads((folder / EXPORT).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CallError(
            f"no export in {folder}: expected {EXPORT}, which `medistill export` writes"
        ) from error


def onnxruntime() -> Any:
    """The package; CallError naming the extra that brings it."""
    try:
        for name in ("onnx", "onnxscript"):
            import_module(name)
        return import_module("onnxruntime")
    except ImportError as error:
        raise CallError(
            f"ONNX needs a package that is not installed ({error.name}): pip install 'medistill[export]'"
        ) from error
