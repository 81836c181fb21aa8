"""Sentences that the reports of many patients share, and that can name nobody."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medistill.data.report.cleaning import has_marks
from medistill.data.report.sentences import sentences

_PLAIN = re.compile(r"(?:[^\W\d_]|[ ,.;:'()/-])+")
"""Letters and the signs of prose. A digit may be of a date, an age or the number of a patient."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_LONGEST = 160  # characters: what is longer is no prompt


def shared_sentences(
    reports: Sequence[str], patients: Sequence[str], *, least: int, within: Iterable[int] | None = None
) -> dict[str, int]:
    """Sentence -> patients whose reports say it word for word, most first, at least `least` of them.

    within   places of the reports to count in; default: all. Which words are safe is decided by all of them.

    Left out is what could be about one person however often it is said: a sentence with a digit, with a mark
    of de-identification, or with a word that fewer than `least` patients' reports write in small letters. A
    name, a month or a place is written with a capital; so is every word of reports without small letters,
    from which nothing is taken.
    """
    places = range(len(reports)) if within is None else within
    holders: dict[str, set[str]] = defaultdict(set)
    for place in places:
        for sentence in said(reports[place]):
            holders[sentence].add(patients[place])
    counts = {sentence: len(who) for sentence, who in holders.items() if len(who) >= least}
    if not counts:
        return {}
    small = _small_words(reports, patients, least=least, among=_words(counts))
    kept = Counter({sentence: count for sentence, count in counts.items() if _words([sentence]) <= small})
    return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0])))


def said(report: str) -> Iterator[str]:
    """The sentences of a report that could be asked, whoever says them.

    Not the rest of one that lost its first words to de-identification, and begins small.
    """
    for sentence in sentences(report):
        is_plain = len(sentence) <= _LONGEST and _PLAIN.fullmatch(sentence) and not has_marks(sentence)
        if is_plain and sentence[0].isupper():
            yield sentence


def _words(texts: Iterable[str]) -> set[str]:
    return {word.lower() for text in texts for word in _WORD.findall(text)}


def _small_words(reports: Sequence[str], patients: Sequence[str], *, least: int, among: set[str]) -> set[str]:
    """Those words that the reports of `least` patients write in small letters."""
    holders: dict[str, set[str]] = defaultdict(set)
    for report, patient in zip(reports, patients, strict=True):
        for word in among.intersection(_WORD.findall(report)):
            holders[word].add(patient)
    return {word for word, who in holders.items() if len(who) >= least}


def order_of(counts: Mapping[str, int], sentences: Iterable[str], most: int) -> list[str]:
    """The `most` of these sentences that most patients' reports say, those first."""
    return sorted(sentences, key=lambda sentence: (-counts[sentence], sentence))[:most]
