"""Whether a model can read the writing of what it is asked."""

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

log = logging.getLogger(__name__)


def warn_of_writing(model: Any, asked: Mapping[str, Sequence[str]]) -> None:
    """Say which of these texts, by what they ask for, are in a script that its vocabulary lacks."""
    for name, texts in asked.items():
        if strange := unseen_scripts(model, texts):
            log.warning(
                "'%s' is asked for in a script that the model has never seen (%s): its figures mean nothing",
                name,
                ", ".join(strange),
            )


def unseen_scripts(model: Any, texts: Sequence[str]) -> list[str]:
    """The scripts of some texts that a model's vocabulary has no letter of, in lower case.

    Such a text becomes unknown tokens, or bare bytes. None of a model whose vocabulary cannot be read.
    """
    known: frozenset[str] | None = model.scripts if hasattr(model, "scripts") else known_scripts(model)
    return [] if known is None else [name.lower() for name in sorted(scripts(" ".join(texts)) - known)]


def scripts(text: str) -> set[str]:
    """The scripts of its letters, as Unicode begins their names: LATIN, CYRILLIC, CJK, HIRAGANA."""
    return set(_scripts(text))


def _scripts(letters: Iterable[str]) -> Iterator[str]:
    for letter in letters:
        if letter.isalpha() and (name := unicodedata.name(letter, "")):
            yield name.split()[0].partition("-")[0]


def known_scripts(model: Any) -> frozenset[str] | None:
    """Of all tokens of its vocabulary, as they are read; None if it cannot be read.

    Tokens of bytes show letters of other scripts in their raw form.
    """
    tokenizer = getattr(model, "tokenizer", None)
    tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(tokenizer, Tokenizer):
        return None
    texts = tokenizer.decode_batch([[number] for number in range(tokenizer.get_vocab_size())])
    return frozenset(scripts("".join(set("".join(texts)))))
