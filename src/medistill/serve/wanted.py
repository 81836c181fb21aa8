"""What is asked of `medistill.serve.label`, by its short name."""

from medistill.serve.label.wanted import Wanted

__all__ = ["Wanted"]
