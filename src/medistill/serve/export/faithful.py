"""Whether an export gives what the model gives, and the account of it."""

import json
from pathlib import Path
from typing import Any

from medistill import __version__
from medistill.errors import MedistillError
from medistill.model.dual import DualEncoder
from medistill.model.fingerprint import model_hash
from medistill.model.foreign.onnx import EXPORT

FORMAT = 1
ALLOWED = 1e-4
"""Largest difference of any number of an embedding from PyTorch's. Sums in another order of float32 differ by
about 1e-6, embeddings by another pooling or of other weights by more than 1e-3."""


def described(model: DualEncoder, kind: str) -> dict[str, Any]:
    """What every export says of the model it was made from."""
    return {
        "format": FORMAT,
        "kind": kind,
        "medistill": __version__,
        "model_sha256": model_hash(model),
        "dim": model.dim,
        "scale": model.scale,
        "bias": 0.0 if model.bias is None else float(model.bias.detach()),
        "preprocessing": model.preprocessing,
    }


def write_account(folder: Path, account: dict[str, Any]) -> None:
    """export.json: what the export is of, how to call it, how it was checked."""
    (folder / EXPORT).write_text(json.dumps(account, indent=1, ensure_ascii=False) + "\n", "utf-8")


def expect_equal(difference: float, what: str) -> float:
    """The difference; MedistillError if it is beyond `ALLOWED` or no number."""
    if not difference <= ALLOWED:
        raise MedistillError(
            f"{what} differ from the model by {difference:.1e}, at most {ALLOWED:.0e} is allowed: nothing is "
            "written"
        )
    return difference
