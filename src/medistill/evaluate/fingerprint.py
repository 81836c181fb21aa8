"""Hashes that say which model and which corpus a figure belongs to."""

import hashlib
import json
from typing import Any

import numpy as np


def model_hash(model: Any) -> str | None:
    """SHA-256 over names, shapes and values of all parameters and buffers; None for a model without them."""
    if not hasattr(model, "state_dict"):
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().float().numpy()
        digest.update(f"{name} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def corpus_hash(corpus: Any) -> str:
    """The hash of its rows from the corpus's card; that of the card itself where it names none."""
    card = json.dumps(corpus.card, sort_keys=True, default=str).encode()
    return str(corpus.card.get("sha256") or hashlib.sha256(card).hexdigest())
