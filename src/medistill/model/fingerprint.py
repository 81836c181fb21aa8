"""Hashes that say which model and which corpus a figure belongs to."""

import hashlib
import json
from typing import Any

import numpy as np

from medistill import __version__


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


def _device_of(model: Any) -> str | None:
    network = getattr(model, "network", model)
    weights = next(iter(network.parameters()), None) if hasattr(network, "parameters") else None
    return None if weights is None else weights.device.type


def embedder_name(model: Any) -> str:
    """Equal for models that give the same embeddings: by weights, preprocessing, tokenizer and version."""
    tokenizer = getattr(model, "tokenizer", None)
    words = tokenizer.to_str() if tokenizer is not None and hasattr(tokenizer, "to_str") else ""
    identity = [__version__, model_hash(model), getattr(model, "preprocessing", None), words]
    if (device := _device_of(model)) not in (None, "cpu"):
        identity.append(device)  # equal but for rounding: figures of one evaluation are of one device
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:24]
