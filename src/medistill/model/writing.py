"""Whether a model can read the writing of what it is asked."""

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

log = logging.getLogger(__name__)


def warn_of_writing(model: Any, asked: Mapping[str, Sequence[str]]) -> None:
    """Say which of these texts, by what they ask for, are in a script that the vocabulary has no letter of.

    Their figures come from unknown tokens or bare bytes alone and mean nothing. A model whose vocabulary
    cannot be read is passed over.
    """
    vocabulary = _vocabulary_of(model)
    if vocabulary is None:
        return
    known = _known_scripts(vocabulary)
    for name, texts in asked.items():
        strange = sorted(scripts(" ".join(texts)) - known)
        if strange:
            log.warning(
                "'%s' is asked for in a script that the model has never seen (%s): its figures mean nothing",
                name,
                ", ".join(strange).lower(),
            )


def scripts(text: str) -> set[str]:
    """The scripts of its letters, as Unicode begins their names: LATIN, CYRILLIC, CJK, HIRAGANA."""
    return set(_scripts(text))


def _scripts(letters: Iterable[str]) -> Iterator[str]:
    for letter in letters:
        if letter.isalpha() and (name := unicodedata.name(letter, "")):
            yield name.split()[0].partition("-")[0]


def _vocabulary_of(model: Any) -> Tokenizer | None:
    model = getattr(model, "model", model)  # within an embedder
    tokenizer = getattr(model, "tokenizer", None)
    tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
    return tokenizer if isinstance(tokenizer, Tokenizer) else None


def _known_scripts(tokenizer: Tokenizer) -> frozenset[str]:
    """Of all tokens as they are read: those of bytes show letters of other scripts in their raw form."""
    texts = tokenizer.decode_batch([[number] for number in range(tokenizer.get_vocab_size())])
    return frozenset(scripts("".join(set("".join(texts)))))
