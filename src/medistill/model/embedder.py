"""Any object that embeds images and texts, its rows checked and made unit."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from jaxtyping import Float32

from medistill.errors import CallError, MedistillError
from medistill.model.dual import DualEncoder
from medistill.model.writing import known_scripts
from medistill.system.shown import check_unicode

_METHODS = ("encode_images", "encode_texts")
_UNIT = 1e-3
"""Rows as near as this to norm 1 stay as they are."""


class UnitEmbedder:
    """Unit rows in float32 from whatever `model.encode_images` and `model.encode_texts` give.

    Rows of any norm, numpy or torch, on any device. CallError for a wrong number of rows or widths that
    differ, MedistillError for NaN. A row of zeros stays one: it is like nothing.
    """

    def __init__(self, model: Any):
        lacking = [name for name in _METHODS if not callable(getattr(model, name, None))]
        if lacking:
            raise CallError(
                f"a {type(model).__name__} has no method {' and no '.join(lacking)}; evaluation needs "
                "encode_images(list of arrays) and encode_texts(list of str), each giving a row an item"
            )
        self.model = model
        self._widths: dict[str, int] = {}

    @property
    def scale(self) -> float | None:
        """What similarities are multiplied by; None if the model does not say."""
        scale = getattr(self.model, "scale", None)
        try:
            return None if scale is None else float(scale)
        except (TypeError, ValueError) as error:
            raise CallError(
                f"the scale of a {type(self.model).__name__} is a {type(scale).__name__}, expected a number"
            ) from error

    @cached_property
    def scripts(self) -> frozenset[str] | None:
        """Those that its vocabulary has letters of; None if it cannot be read."""
        return known_scripts(self.model)

    @property
    def square(self) -> int | None:
        """The side in pixels of the square that it letterboxes every image to; None if it does otherwise."""
        return self.model.size if isinstance(self.model, DualEncoder) else None

    @property
    def preprocessing(self) -> Mapping[str, Any] | None:
        """What the model says becomes of an image and a text on their way in; None if it says nothing."""
        stated = getattr(self.model, "preprocessing", None)
        if not isinstance(stated, Mapping):
            return None
        try:
            return json.loads(json.dumps(dict(cast("Mapping[str, Any]", stated)), allow_nan=False))
        except (TypeError, ValueError):
            return None

    def encode_images(self, images: Sequence[Any]) -> Float32[np.ndarray, "n d"]:
        """Unit rows."""
        return self._rows("encode_images", images)

    def encode_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """Unit rows; CallError for a text that holds half a surrogate."""
        check_texts(texts)
        return self._rows("encode_texts", texts)

    def _rows(self, method: str, items: Sequence[Any]) -> Float32[np.ndarray, "n d"]:
        rows = _as_array(method, getattr(self.model, method)(items))
        if rows.ndim != 2 or len(rows) != len(items) or not rows.shape[1]:
            raise CallError(
                f"{method} gave an array of shape {rows.shape} for {len(items)} items, "
                f"expected ({len(items)}, width)"
            )
        self._expect_width(method, rows.shape[1])
        bad = int((~np.isfinite(rows)).any(axis=1).sum())
        if bad:
            raise MedistillError(
                f"{method} gave NaN or infinity in {bad} of {len(items)} rows; expected finite numbers"
            )
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.where(abs(norms - 1) < _UNIT, rows, rows / np.maximum(norms, 1e-12))

    def _expect_width(self, method: str, width: int) -> None:
        self._widths.setdefault(method, width)
        for other, known in self._widths.items():
            if known != width:
                raise CallError(
                    f"{method} gives rows of width {width}, {other} gave {known}; they must share one space"
                )


def check_texts(texts: Sequence[str]) -> None:
    """CallError for one that cannot be written, before a tokenizer meets it."""
    for number, text in enumerate(texts, start=1):
        check_unicode(text, f"text {number} of {len(texts)}")


def _as_array(method: str, embedding: Any) -> np.ndarray:
    if hasattr(embedding, "detach"):
        embedding = embedding.detach().cpu().float().numpy()
    try:
        return np.asarray(embedding, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise CallError(
            f"{method} gave a {type(embedding).__name__} that is no array of numbers, "
            "expected a numpy array or torch tensor"
        ) from error
