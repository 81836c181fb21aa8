"""JSON that is the same bytes for the same content."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

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
