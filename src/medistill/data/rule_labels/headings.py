"""What stands before a colon, and what the words behind it say of it."""

import re

from medistill.data.report.forms import DESCRIBES
from medistill.data.rule_labels.states import (
    ABSENT,
    PRESENT,
    UNCERTAIN,
    Stated,
    calls_normal,
    cue_kinds,
    names_anatomy,
    stated,
    terms,
)

_PROSE = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|there|this|that|shows?|seen|noted|with|no|not|without|but|"
    r"small|tiny|trace|"
    r"minimal|mild|moderate|large|severe|stable|unchanged|new|may|possibl[ey]|likely)\b"
)
"""Words that a heading does not have: what is before the colon states something itself."""
_LEADS = {
    "no ": r"(?:pertinent |the )?negatives?(?: for| findings)?|no(?: (?:\w+ )?(?:evidence|signs?) of)?|"
    r"absent|"
    r"(?:not|none) (?:seen|present|identified)|without|excluded|free of|absence of|denie[sd]|ruled out",
    "possible ": r"possibl[ey]|probabl[ey]|differential(?: diagnos[ie]s)?(?: includes?)?|suspected|"
    r"questionable|consider|"
    r"rule out|concern(?:ing)?(?: for)?|query|suspicion(?: of)?|diagnostic considerations?",
    "history of ": r"history(?: of)?|(?:past )?medical history|prior|previous|past|known history",
    "": r"present|positives?(?: for| findings)?",
}
"""What is said of a list behind the colon -> the words before it."""
_SAYS_NOTHING = {"and", "to", "in", "the", "at", "of", "on", "with", "l", "r"}
_SIZE = re.compile(rf"\b(?:{'|'.join(DESCRIBES - _SAYS_NOTHING)}|\d+ ?[cm]m)\b")
_CLAUSE = re.compile(r"[,;:]|\b(?:but|except|while|although|however)\b")
_WEIGHT = {ABSENT: 0, UNCERTAIN: 1, PRESENT: 2}


def stated_of_line(sentence: str) -> tuple[Stated, bool]:
    """`stated`, where a heading before a colon states nothing by itself: what stands behind says it."""
    head, colon, rest = sentence.partition(":")
    rest = rest.strip()
    if not colon or len(head.split()) > 6:
        return stated(sentence)
    for words, lead in _LEADS.items():
        if re.fullmatch(lead, head):
            return stated(words + rest)
    if _PROSE.search(head):
        return stated(sentence)
    kinds = {kind for kind, _, _ in terms(head)}
    if kinds:
        found, calm = stated_of_line(rest) if rest else ([], False)
        said = [(kind, _said_of(kind, rest)) for kind in sorted(kinds)]
        found += [(kind, state) for kind, state in said if state is not None]
        return found, calm or any(state == ABSENT for _, state in said)
    return stated(f"{head} is {rest}") if names_anatomy(head) else stated(sentence)


def _said_of(kind: str, rest: str) -> int | None:
    """The state of a heading by the clauses behind it that name no finding; None if they do not say."""
    if any(named == kind for named, _, _ in terms(rest)):
        return None
    states = [state for clause in _CLAUSE.split(rest) if (state := _said_in(clause)) is not None]
    if states and "doubted" in cue_kinds(rest):  # `trace, if any`
        return UNCERTAIN
    return max(states, key=_WEIGHT.__getitem__) if states else None


def _said_in(clause: str) -> int | None:
    if any(True for named, _, _ in terms(clause) if named != "abnormality"):
        return None
    kinds = cue_kinds(clause)
    if "still" in kinds:
        return PRESENT
    if kinds & {"none", "hedge", "doubted", "until", "unlikely"}:
        return UNCERTAIN
    if kinds & {"negation", "gone"} or calls_normal(clause):
        return ABSENT
    return PRESENT if _SIZE.search(clause) and "past" not in kinds else None
