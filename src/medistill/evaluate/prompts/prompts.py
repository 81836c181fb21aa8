"""What is asked of the text encoder for each finding."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from medistill.errors import CallError
from medistill.model.embedding import Embedder, embed_texts, unit_mean
from medistill.model.writing import warn_of_writing
from medistill.system.shown import check_unicode

Prompts = Mapping[str, Mapping[str, Sequence[str]]]
"""Finding -> {"positive": [...], "negative": [...]}."""
SIDES = ("positive", "negative")
Sides = tuple[Float32[np.ndarray, "f d"], Float32[np.ndarray, "f d"]]
"""Embeddings of each finding's positive and negative prompts."""
_TEMPLATES = {
    "positive": ("{}", "There is {}."),
    "negative": ("No {}.", "There is no {}."),
}


def template(finding: str) -> dict[str, list[str]]:
    """Two prompts a side from the finding's name alone."""
    words = finding.replace("_", " ").strip()
    return {side: [text.format(words) for text in texts] for side, texts in _TEMPLATES.items()}


def embed_prompts(model: Embedder, prompts: Prompts) -> Sides:
    """Each finding's positive and negative side: the mean of its prompts' embeddings, made unit."""
    warn_of_writing(
        model, {name: [text for side in SIDES for text in sides[side]] for name, sides in prompts.items()}
    )
    texts = [text for sides in prompts.values() for side in SIDES for text in sides[side]]
    lengths = [len(sides[side]) for sides in prompts.values() for side in SIDES]
    embedded = embed_texts(model, texts)
    means = np.stack([unit_mean(part) for part in np.split(embedded, np.cumsum(lengths)[:-1])])
    return means[0::2], means[1::2]


def combined(parts: Iterable[Sequence[str]]) -> list[str]:
    """Every combination of a word or phrase from each part; an empty one stands for nothing said."""
    return [" ".join(word.strip() for word in words if word.strip()) for words in itertools.product(*parts)]


def checked(given: Any, sides: Sequence[str] = SIDES) -> Prompts:
    """The prompts, if they have the shape of prompts and texts on these sides; else a CallError."""
    if not isinstance(given, Mapping):
        raise CallError('prompts must be {finding: {"positive": [...], "negative": [...]}}')
    for finding, texts in given.items():
        check_name(finding)
        by_side: Any = texts if isinstance(texts, Mapping) else {}
        for side in sides:
            if not _is_list_of_texts(by_side.get(side)):
                raise CallError(f"prompts for '{finding}' need a list of one or more texts under '{side}'")
            for text in by_side[side]:
                check_unicode(text, f"a prompt for '{finding}'")
    return given


def check_name(finding: object) -> None:
    """CallError for what is no name of a finding: blank, or signs without a letter or digit."""
    if isinstance(finding, str):
        check_unicode(finding, "the name of a finding")
    if not isinstance(finding, str) or not re.search(r"[^\W_]", finding):
        raise CallError(f"a finding is called {finding!r}: give it a name of letters or digits")


def _is_list_of_texts(value: object) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(text, str) and text.strip() for text in value)
