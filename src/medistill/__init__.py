"""Pretrain medical vision-language models by momentum self-distillation."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medistill.data.corpus import open_corpus
    from medistill.model.any_model import open_model
    from medistill.model.dual import DualEncoder
    from medistill.model.saved import load
__all__ = ["DualEncoder", "load", "open_corpus", "open_model"]
__version__ = "0.1.0"

# Libraries that report to their makers, and switches that must be set before their import: onnxruntime 1.32
# asks a name server and leaves a device id in the user's cache.
os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1")


def __getattr__(name: str) -> Any:
    """Import the public names when first used, so that `medistill --help` need not wait for torch."""
    if name == "open_corpus":
        from medistill.data.corpus import open_corpus

        return open_corpus
    if name == "open_model":
        from medistill.model.any_model import open_model

        return open_model
    if name == "DualEncoder":
        from medistill.model.dual import DualEncoder

        return DualEncoder
    if name == "load":
        from medistill.model.saved import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
