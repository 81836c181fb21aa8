"""Whether a text is in English."""

import re
from importlib.resources import files

from medistill.data.report.sentences import word_set


def _words_in(name: str) -> frozenset[str]:
    return word_set(files(__package__ or "").joinpath(name).read_text("utf-8"))


_ENGLISH = _words_in("english.txt")
"""Words by which English is known; those that other languages spell alike are not among them."""
_ALIKE = _words_in("alike.txt")
"""Words and abbreviations of English reports that are spelled alike elsewhere: they show nothing."""
_WORDS = re.compile(r"[^\W\d_]+")
_LEAST = 0.2
"""Share of English words among those that show a language."""


def known_words(text: str) -> tuple[int, int]:
    """How many words of a text in small letters are English, and how many are of no language that is known.

    Words spelled alike in several languages, and single letters, are neither.
    """
    words = [word for word in _WORDS.findall(text) if len(word) > 1]
    english = sum(word in _ENGLISH for word in words)
    return english, len(words) - english - sum(word in _ALIKE for word in words)


def is_english(text: str) -> bool:
    """Whether nothing speaks against it: `No pneumothorax.` may be English, `Pneumothorax rechts.` not."""
    return speaks_english(*known_words(text.lower()))


def speaks_english(english: int, foreign: int) -> bool:
    """By numbers of words, as `known_words` counts them."""
    return english >= _LEAST * (english + foreign)
