"""An open_clip export against its model, where open_clip is installed."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from medistill.errors import CallError
from medistill.evaluate.embedder import UnitEmbedder
from medistill.model.dual import DualEncoder
from medistill.model.foreign_open_clip import PREFIX, open_clip_library, open_open_clip
from medistill.serve.export.onnx import ALLOWED, expect_equal

_TEXTS = ("normal", "no effusion", "heart size is normal . the lungs are clear . no pneumothorax")


def check(model: DualEncoder, folder: Path) -> dict[str, Any]:
    """How far the folder's embeddings, as open_clip makes them, are from the model's; or why that is unknown.

    MedistillError if they are further than allowed.
    """
    try:
        found = open_clip_library()
    except CallError as error:
        return {"by": None, "reason": str(error)}
    theirs, ours = UnitEmbedder(open_open_clip(f"local-dir:{folder}")), UnitEmbedder(model)
    random = np.random.default_rng(0)
    squares = [random.integers(0, 256, (model.size, model.size), dtype=np.uint8) for _ in range(4)]
    pictures = [Image.fromarray(square) for square in squares]
    apart = max(
        float(np.abs(theirs.encode_images(pictures) - ours.encode_images(squares)).max()),
        float(np.abs(theirs.encode_texts(_TEXTS) - ours.encode_texts(_TEXTS)).max()),
    )
    return {
        "by": f"open_clip {found.__version__}, torch {torch.__version__}",
        "allowed": ALLOWED,
        "largest_difference": expect_equal(apart, f"the towers in {PREFIX.rstrip(':')}"),
    }
