"""Words of a vocabulary that look like names of people."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any

import yaml

_DATA: Any = yaml.safe_load(files(__package__ or "").joinpath("names.yaml").read_text("utf-8"))
_TITLES = "|".join(map(re.escape, _DATA["titles"]))
_TITLED = re.compile(rf"\b(?:{_TITLES})\.?\s+(?:\w\.\s*)?([^\W\d_][\w'\u2019-]+)")
_EPONYMS = frozenset(_DATA["eponyms"])
_WITHIN = re.compile(r"(?<=[^\W\d_,;)] )([^\W\d_]{3,})")
"""A word behind another one, so that no sentence begins with it."""
_LEAST = 5
"""Occurrences from which on a word that is always written with a capital letter looks like a name."""
_OFTEN = 0.9
_STYLE = 0.15
"""Share of words within sentences that begin with a capital letter, above which it tells nothing: in German a
third does."""


def name_like(texts: Iterable[str], vocabulary: Sequence[str]) -> list[str]:
    """The words of a vocabulary, in lower case, that stand behind a title or are written as names are.

    A name that is never written in either way goes unseen; eponyms of anatomy and disease are left out.
    """
    titled: set[str] = set()
    capital: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for text in texts:
        titled.update(word for word in _TITLED.findall(text) if word[0].isupper())
        for word in _WITHIN.findall(text):
            every[word.lower()] += 1
            capital[word.lower()] += word[0].isupper() and not word.isupper()
    is_told = capital.total() <= _STYLE * every.total()
    written = {
        word
        for word, count in capital.items()
        if is_told and count >= _LEAST and count >= _OFTEN * every[word]
    }
    names = {piece for word in titled | written for piece in _pieces(word)} - _EPONYMS
    return [word for word in vocabulary if word in names]


def _pieces(word: str) -> Iterator[str]:
    """As the tokenizer splits the word: in lower case, without accents, at its signs."""
    apart = unicodedata.normalize("NFD", word.lower())
    letters = "".join(c for c in apart if unicodedata.category(c) != "Mn")
    yield from (piece for piece in re.findall(r"[^\W\d_]+", letters) if len(piece) > 2)
