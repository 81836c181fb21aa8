"""From a corpus to windows of pairs."""

from medistill.data.loader.windows import Window, WindowLoader

__all__ = ["Window", "WindowLoader"]
