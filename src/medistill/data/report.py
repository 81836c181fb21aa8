"""Report text: the normal form by which two texts count as the same."""

import re
import unicodedata

_OTHER_THAN_WORDS = re.compile(r"[\W_]+")


def normalized_text(text: str) -> str:
    """NFKC, case folded, every run of punctuation and white space one space: equal means the same report."""
    return _OTHER_THAN_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
