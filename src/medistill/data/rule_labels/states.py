"""What one sentence of an English report says of each finding."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from medistill.data.rule_labels import cues as cue_words
from medistill.data.rule_labels import lexicon
from medistill.data.rule_labels.lexicon import ABNORMALITY

PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
Stated = list[tuple[str, int]]
"""Findings and their states."""
_FAR = 10**12
"""Behind the end of any sentence."""


def _any(patterns: Iterable[str]) -> str:
    return "|".join(patterns)


_TERMS = [
    (kind, re.compile(rf"\b(?:{_any(patterns)})\b"))
    for kind, patterns in [*lexicon.TERMS.items(), (ABNORMALITY, lexicon.OTHER_ABNORMAL)]
]
_NORMAL = [(kind, re.compile(rf"\b(?:{_any(subjects)})\b")) for kind, subjects in lexicon.NORMAL.items()]
# One pass finds all cues, and the first alternative wins: what only looks like a negation stands before it.
_CUES = re.compile(
    rf"(?P<stop>[;:]|, (?={cue_words.STOPS_AFTER_COMMA})|\b(?:{cue_words.STOPS})\b)|"
    rf"\b(?:(?P<still>{_any(cue_words.NOT_GONE)})|(?P<none>{_any(cue_words.NOT_NEGATION)})|"
    rf"(?P<until>{cue_words.UNTIL_GONE})|(?P<doubted>{_any(cue_words.HEDGED_AFTER)})|"
    rf"(?P<gone>{cue_words.NEGATED_AFTER}|{cue_words.GONE_BEHIND})|(?P<fine>{cue_words.CALLED_NORMAL_AFTER})|"
    rf"(?P<past>{cue_words.PAST})|(?P<cause>{cue_words.CAUSES})|(?P<unlikely>{cue_words.UNLIKELY})|"
    rf"(?P<limit>{cue_words.LIMITS})|(?P<hedge>{cue_words.HEDGED})|(?P<negation>{cue_words.NEGATED}))\b"
)
_ANATOMY = re.compile(rf"\b(?:{cue_words.ANATOMY})\b")
_CALLED_NORMAL = re.compile(rf"\b(?:{cue_words.CALLED_NORMAL})\b")
_NOT_NORMAL, _MAYBE_NORMAL = map(re.compile, cue_words.NOT_NORMAL)
_ALONE_NORMAL = re.compile(cue_words.ALONE_NORMAL)


class _Cues(NamedTuple):
    """Where in a sentence its scopes end and what denies or doubts; starts and ends in order."""

    stops: list[tuple[int, int]]
    at: dict[str, list[int]]
    """Kind of cue -> where such stand."""


def stated(sentence: str) -> tuple[Stated, bool]:
    """Findings and their states in a sentence in small letters, and whether something is normal or denied."""
    cues = _cues(sentence)
    said = [(kind, _state(start, end, cues)) for kind, start, end in terms(sentence)]
    found = [(kind, state) for kind, state in said if state is not None]
    calm = any(state == ABSENT for _, state in found) or bool(_ALONE_NORMAL.fullmatch(sentence))
    for start, end in _clauses(sentence, cues):
        clause = sentence[start:end]
        if _NOT_NORMAL.search(clause):
            found.append((ABNORMALITY, PRESENT))
        elif _CALLED_NORMAL.search(clause) and _ANATOMY.search(clause) and not _MAYBE_NORMAL.search(clause):
            calm = True
            found += [(kind, ABSENT) for kind, subject in _NORMAL if subject.search(clause)]
    return found, calm


def terms(sentence: str) -> list[tuple[str, int, int]]:
    """The findings named in a sentence, each with its start and end."""
    return [
        (kind, mention.start(), mention.end())
        for kind, pattern in _TERMS
        for mention in pattern.finditer(sentence)
    ]


def states_of(sentence: str, words: re.Pattern[str]) -> list[int | None]:
    """The state of each mention of words that need be no finding of ours, in a sentence in small letters."""
    cues = _cues(sentence)
    return [_state(mention.start(), mention.end(), cues) for mention in words.finditer(sentence)]


def cue_kinds(clause: str) -> set[str]:
    """Which kinds of cues stand in a clause."""
    return {cue.lastgroup for cue in _CUES.finditer(clause) if cue.lastgroup}


def names_anatomy(text: str) -> bool:
    return _ANATOMY.search(text) is not None


def calls_normal(clause: str) -> bool:
    return bool(_CALLED_NORMAL.search(clause)) and not _NOT_NORMAL.search(clause)


def _cues(sentence: str) -> _Cues:
    stops, at = list[tuple[int, int]](), dict[str, list[int]]()
    for cue in _CUES.finditer(sentence):
        if cue.lastgroup == "stop":
            stops.append(cue.span())
        elif cue.lastgroup:
            at.setdefault(cue.lastgroup, []).append(cue.start())
    at["comma"] = [comma.start() for comma in re.finditer(",", sentence)]
    unlikely = at.get("unlikely", [])
    at["hedge"] = sorted(at.get("hedge", []) + at.get("until", []) + unlikely)
    at["gone"] = sorted(at.get("gone", []) + unlikely)
    return _Cues(stops, at)


def _clauses(sentence: str, cues: _Cues) -> list[tuple[int, int]]:
    starts = [0, *(end for _, end in cues.stops)]
    return list(zip(starts, [*(start for start, _ in cues.stops), len(sentence)], strict=True))


def _state(start: int, end: int, cues: _Cues) -> int | None:
    """Of a term from `start` to `end`, by the cues within its clause; None where it is only of the past."""
    place = bisect_right(cues.stops, (start, start))
    first = cues.stops[place - 1][1] if place else 0
    place = bisect_left(cues.stops, (end, end))
    last = cues.stops[place][0] if place < len(cues.stops) else _FAR

    def within(kind: str, first: int, last: int) -> bool:
        return first <= _first_after(cues.at.get(kind, []), first) < last

    reach = max(first, _last_before(cues.at.get("cause", []), start))
    if within("gone", end, last) or within("fine", end, min(last, _first_after(cues.at["comma"], end))):
        return ABSENT
    denied = _last_before(cues.at.get("negation", []), end)
    is_denied = within("negation", reach, end)
    past = _last_before(cues.at.get("past", []), start)
    is_past = within("past", first, start) and not within("still", first, last)
    if is_past and not (is_denied and denied > past):
        return None
    if is_denied:
        # `with` and a size may begin something else that is there: which, is not said.
        return UNCERTAIN if denied < _last_before(cues.at.get("limit", []), start) else ABSENT
    return UNCERTAIN if within("hedge", first, start) or within("doubted", first, last) else PRESENT


def _first_after(places: list[int], place: int) -> int:
    index = bisect_left(places, place)
    return places[index] if index < len(places) else _FAR


def _last_before(places: list[int], place: int) -> int:
    index = bisect_left(places, place)
    return places[index - 1] if index else 0
