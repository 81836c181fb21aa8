"""JSON files: written to the same bytes, read or complained of in a line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from medistill.errors import CallError
from medistill.system.checksums import read_checked

DIGITS = 6


def canonical_json(value: object) -> str:
    """Sorted keys and six digits: equal figures are equal bytes."""
    return json.dumps(rounded(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def rounded(value: object) -> object:
    """The same value with every float cut to six digits, -0 made 0."""
    if isinstance(value, Mapping):
        return {str(k): rounded(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in cast("Sequence[object]", value)]
    return round(value, DIGITS) + 0.0 if isinstance(value, float) else value


def read_json(path: Path, complaint: str = "") -> Any:
    """What a JSON file holds; CallError with this complaint if it is absent, unreadable or no JSON.

    ChecksumError if it has a checksum beside it and is not what was written.
    """
    try:
        return json.loads(read_checked(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CallError(complaint or f"{path} is damaged: it cannot be read as JSON") from error
