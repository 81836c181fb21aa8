"""The lists of words that lie beside the code."""

from importlib.resources import files
from typing import Any

import yaml

# In C, twenty times as fast as in Python; wheels of PyYAML have it, a build of one's own may not.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_words(package: str | None, name: str) -> Any:
    """What a YAML file of a package holds."""
    return yaml.load(files(package or "").joinpath(name).read_text("utf-8"), _LOADER)
