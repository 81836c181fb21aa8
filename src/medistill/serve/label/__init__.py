"""Findings for images: from prompts, examples or a saved classifier."""

from medistill.serve.label.run import label

__all__ = ["label"]
