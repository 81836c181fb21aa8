"""Labels for the common findings, read from an English report by rules."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from medistill.data.report.sections import Sections, read_sections
from medistill.data.report.sentences import sentences, word_set
from medistill.data.rule_labels import cues as cue_words
from medistill.data.rule_labels import lexicon
from medistill.data.rule_labels.lexicon import ABNORMALITY, FINDINGS

__all__ = ["FINDINGS", "label_report", "label_sections"]
PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
_WEIGHT = {ABSENT: 0, UNCERTAIN: 1, PRESENT: 2}
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
    rf"\b(?:(?P<none>{_any(cue_words.NOT_NEGATION)})|(?P<doubted>{_any(cue_words.HEDGED_AFTER)})|"
    rf"(?P<gone>{cue_words.NEGATED_AFTER})|(?P<fine>{cue_words.CALLED_NORMAL_AFTER})|(?P<cause>{cue_words.CAUSES})|"
    rf"(?P<hedge>{cue_words.HEDGED})|(?P<negation>{cue_words.NEGATED}))\b"
)
_ANATOMY = re.compile(rf"\b(?:{cue_words.ANATOMY})\b")
_CALLED_NORMAL = re.compile(rf"\b(?:{cue_words.CALLED_NORMAL})\b")
_ENGLISH = word_set(cue_words.ENGLISH)
_WORDS = re.compile(r"[^\W\d_]+")


class _Cues(NamedTuple):
    """Where in a sentence its scopes end and what denies or doubts; starts and ends in order."""

    stops: list[tuple[int, int]]
    negations: list[int]
    hedges: list[int]
    gone: list[int]
    doubted: list[int]
    fine: list[int]
    causes: list[int]
    commas: list[int]


def label_report(text: str) -> dict[str, int]:
    """Finding -> 1 present, 0 absent, -1 uncertain; see `label_sections`.

    Of a text with headers, findings and impression are read: what was asked or known before is no finding.
    """
    return label_sections(read_sections(text))


def label_sections(sections: Sections) -> dict[str, int]:
    """Finding -> 1 present, 0 absent, -1 uncertain; a finding that is not spoken of is left out.

    Sentence by sentence: a term is denied by a negation before it (`no`, `without`) or behind it (`is not
    seen`) in the same clause, doubted by a hedge (`possible`, `may represent`, `cannot be excluded`), else
    present. Over the sentences of a report present outweighs uncertain, and uncertain absent. What is called
    normal makes the finding absent that it would have: `heart size is normal`.

    `no finding` is 1 where something is called normal or denied and nothing abnormal is present or uncertain;
    unlike CheXpert's, a device, an old scar, degeneration or a poor film rules it out too. A text that is not
    in English has no labels at all, and one with a sentence not understood is never called normal.
    """
    parts = (sections.findings, sections.impression)
    plain = [_plain(sentence) for part in parts for sentence in sentences(part)]
    known = [_known_words(sentence) for sentence in plain]
    if 5 * sum(count for count, _ in known) < sum(words for _, words in known):
        return {}
    labels, calm, foreign = dict[str, int](), False, False
    for sentence, (count, words) in zip(plain, known, strict=True):
        stated, is_calm = _stated(sentence)
        calm = calm or is_calm
        foreign = foreign or (words > 2 and not (count or stated or is_calm))
        for finding, state in stated:
            labels[finding] = _stronger(labels.get(finding), state)
    return _with_no_finding(labels, calm and not foreign)


def _with_no_finding(labels: dict[str, int], calm: bool) -> dict[str, int]:
    worst = max((_WEIGHT[state] for state in labels.values()), default=0)
    stated = {finding: state for finding, state in labels.items() if finding != ABNORMALITY}
    if worst:
        stated["no finding"] = ABSENT if worst == _WEIGHT[PRESENT] else UNCERTAIN
    elif calm:
        stated["no finding"] = PRESENT
    return {finding: stated[finding] for finding in FINDINGS if finding in stated}


def _stronger(state: int | None, other: int) -> int:
    return other if state is None else max(state, other, key=_WEIGHT.__getitem__)


def _plain(sentence: str) -> str:
    """Small letters; hyphens and brackets become spaces, a slash `or`."""
    text = sentence.lower().replace("/", " or ").replace("'", "")
    return " ".join(re.sub(r"[^\w\s,;:]", " ", text).split()).replace(" ,", ",")


def _known_words(sentence: str) -> tuple[int, int]:
    """How many of its words are known to be English, and how many it has."""
    words = _WORDS.findall(sentence)
    return sum(word in _ENGLISH for word in words), len(words)


def _stated(sentence: str) -> tuple[list[tuple[str, int]], bool]:
    """Findings and their states, and whether something is called normal or denied."""
    cues = _cues(sentence)
    stated = [
        (kind, _state(mention.start(), mention.end(), cues))
        for kind, terms in _TERMS
        for mention in terms.finditer(sentence)
    ]
    calm = any(state == ABSENT for _, state in stated)
    for start, end in _clauses(sentence, cues):
        clause = sentence[start:end]
        if _CALLED_NORMAL.search(clause) and _ANATOMY.search(clause):
            calm = True
            stated += [(kind, ABSENT) for kind, subject in _NORMAL if subject.search(clause)]
    return stated, calm


def _cues(sentence: str) -> _Cues:
    places = {name: list[int]() for name in ("negation", "hedge", "gone", "doubted", "fine", "cause", "none")}
    stops = list[tuple[int, int]]()
    for cue in _CUES.finditer(sentence):
        name = cue.lastgroup
        if name == "stop":
            stops.append(cue.span())
        elif name:
            places[name].append(cue.start())
    return _Cues(
        stops=stops,
        negations=places["negation"],
        hedges=places["hedge"],
        gone=places["gone"],
        doubted=places["doubted"],
        fine=places["fine"],
        causes=places["cause"],
        commas=[comma.start() for comma in re.finditer(",", sentence)],
    )


def _clauses(sentence: str, cues: _Cues) -> list[tuple[int, int]]:
    starts = [0, *(end for _, end in cues.stops)]
    return list(zip(starts, [*(start for start, _ in cues.stops), len(sentence)], strict=True))


def _state(start: int, end: int, cues: _Cues) -> int:
    """Of a term from `start` to `end`, by the cues within its clause."""
    place = bisect_right(cues.stops, (start, start))
    first = cues.stops[place - 1][1] if place else 0
    place = bisect_left(cues.stops, (end, end))
    last = cues.stops[place][0] if place < len(cues.stops) else _FAR
    denied = (
        _within(cues.negations, max(first, _last_before(cues.causes, start)), end)
        or _within(cues.gone, end, last)
        or _within(cues.fine, end, min(last, _first_after(cues.commas, end)))
    )
    if denied:
        return ABSENT
    doubted = _within(cues.hedges, first, start) or _within(cues.doubted, first, last)
    return UNCERTAIN if doubted else PRESENT


def _first_after(places: list[int], place: int) -> int:
    index = bisect_left(places, place)
    return places[index] if index < len(places) else _FAR


def _last_before(places: list[int], place: int) -> int:
    index = bisect_left(places, place)
    return places[index - 1] if index else 0


def _within(places: list[int], first: int, last: int) -> bool:
    return first <= _first_after(places, first) < last
