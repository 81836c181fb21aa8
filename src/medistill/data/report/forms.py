"""Answers in forms: `Effusion: none`, `Edema - no`, `[x] Fracture`, and the findings they are tied to."""

import re
import unicodedata
from typing import Any, Literal, NamedTuple

from medistill.data.report.letters import plain, unaccented
from medistill.data.report.sentences import word_set
from medistill.data.report.words import read_words

State = Literal["present", "absent", "doubt", "unanswered"]
_WORDS: Any = read_words(__package__, "answers.yaml")
_STATE_OF: dict[str, State] = {
    plain(answer): state
    for state in ("unanswered", "doubt", "present", "absent")
    for answers in _WORDS[state].values()
    for answer in answers
}
DESCRIBES = word_set(_WORDS["describes"])


class Field(NamedTuple):
    """A name in a form, and what is said of it."""

    name: str
    state: State


def _any(words: list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_ANSWER = _any(list(_STATE_OF))
_WORD_ANSWER = _any([answer for answer in _STATE_OF if len(answer) > 1 and answer.isalpha()])
_DESCRIBED = rf"(?:{_any(list(DESCRIBES))})(?:[ ,]{{1,2}}(?:{_any(list(DESCRIBES))})){{0,6}}"
_BOTH = r"(?:yes|no|y|n|present|absent|positive|negative|none|ja|nein|oui|non)"
_UNFILLED = rf"{_BOTH}\s?(?:[/|]|\bor\b)\s?{_BOTH}(?:\s?[/|]\s?[a-z/]{{1,12}})?"
_SAID = rf"(?P<said>{_UNFILLED}|{_ANSWER}|{_DESCRIBED})"
# An answer ends where a field ends: before a mark, at the end, or before the name of the next field.
_NEXT = rf"\s+(?-i:[A-Z])[^:;.|?\n]{{1,60}}[:=|?]|\s+[^:;.|?,\n]{{2,60}}:\s?(?:{_ANSWER})(?:\W|$)"
_END = rf"(?!,? ?if (?:any|present|at all))(?=\s*(?:[.;,|/(\u3002\u3001]|$)|\s[-\u2013\u2014]\s|{_NEXT})"
_DASHES = r"[-\u2013\u2014]{1,2}>?"
_BETWEEN = rf"(?P<between>\s?[:=|]\s?|(?<=[\w)])\?[\s:-]{{1,3}}|\s{_DASHES}\s?|\s?{_DASHES}\s|\s?->\s?)"
_FIELD = re.compile(rf"{_BETWEEN}{_SAID}{_END}", re.IGNORECASE)
# Nothing between but a space: only words that can go on in no other way, at the end of a clause.
_BARE = re.compile(
    r"(?:[\s-]|\s?[,;]\s?)(?P<said>no|none|nil|absent|negative|yes|\([-+?]\)|"
    r"\((?:no|none|absent|negative|neg|yes|present|positive|pos)\))(?=\s*(?:[.;,|/\u3002\u3001]|$))",
    re.IGNORECASE,
)
_BOUND = re.compile(r"[:;|?=\n\u3002]|\.(?!\d)|!")
_LONGEST = 120
"""Characters of a name; a longer one is a sentence."""
_PIECE = re.compile(r",|\bbut\b|\bhowever\b", re.IGNORECASE)
_PROSE = re.compile(
    r"\b(?:is|are|was|were|has|have|there|shows?|seen|with|no|not|without|small|tiny|trace|minimal|mild|moderate|"
    r"large|severe|stable|unchanged|new|left|right)\b",
    re.IGNORECASE,
)
_TICK = r"\s?[xX\u00d7*\u2713\u2714\u221a]\s?"
_BOX = re.compile(
    rf"(?P<checked>\[{_TICK}\]|\({_TICK}\)|[\u2611\u2612\u2705\u2713\u2714])|(?P<full>[\u25a0\u25fc\u25cf\u25c9])|"
    r"(?P<empty>\[\s{0,3}[\u2717\u2718]?\s?\]|[\u2717\u2718\u274c]|\(\s{0,3}\)|[\u2610\u25a1\u25fb\u25cb\u25ef\u2b1c])"
)
_OPTION = re.compile(rf"(?:(?P<name>.{{2,80}}?)\s?[:?|-]\s?)?(?P<said>{_ANSWER}|{_DESCRIBED})", re.IGNORECASE)
_MARGIN = " \t,:;|/-"
_STOP = re.compile(r"[.;\n\u3002](?!\d)|$")
_RULE = re.compile(r"[\s|:+=-]*[|+][\s|:+=-]*")
_CELLS = re.compile(
    r"(?<=[\w)])(?:[ ]{0,3}\t[\t ]*|[ ]{2,40}|[ ]?\.{3,80}[ ]?|[ ]?_{3,80}[ ]?)"
    rf"(?=(?:{_WORD_ANSWER})(?:\s*$|\t|[ ]{{2}}))",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[^\W\d_a-z][\w/&,()' -]{0,50}[:\uff1a](?!\d)")


def in_one_width(text: str) -> str:
    """With the signs of full width as those of ASCII, and accents composed."""
    return unicodedata.normalize("NFKC", text)


def tidied(line: str) -> str:
    """A line of a table or a form with its columns told by signs: `Edema ..... no` becomes `Edema: no`."""
    if "|" in line:
        if _RULE.fullmatch(line):
            return ""
        line = line.strip().strip("|").strip()
    line = _CELLS.sub(": ", line)
    return re.sub(r"[ ]{0,3}\t[\t ]*", "; ", line) if ": " in line and "\t" in line else line


def is_field(line: str) -> bool:
    """Whether a line is one of a form or a table: a name with an answer, a label, a check box, cells."""
    line = line.strip()
    if not line or len(line) > 2000:
        return False
    return bool(_LABEL.match(line) or " | " in line or _BOX.match(line) or is_answered(line))


def is_answered(line: str) -> bool:
    """Whether a line is whole: a name and its answer, a box and its name."""
    line = in_one_width(line.strip())[:2000]
    ends = [match.end() for match in _FIELD.finditer(unaccented(line))]
    return bool(_BOX.match(line)) or (bool(ends) and not line[ends[-1] :].strip(" .;"))


def fields(text: str) -> tuple[list[Field], str]:
    """The fields with an answer in a text of common width, and the text without them.

    What stands in the place of a field in the rest is a period: sentences beside it stay sentences.
    """
    found, rest = _boxes(text)
    for pattern in (_FIELD, _BARE):
        pieces, place = list[str](), 0
        for match in pattern.finditer(unaccented(rest)):
            start, name = _name(rest[place : match.start()])
            if name:
                found += _named(name, _state(match), is_tied=pattern is _FIELD)
                pieces += [rest[place : place + start], " . "]
                place = match.end()
        rest = "".join([*pieces, rest[place:]])
    return found, rest


def _state(match: re.Match[str]) -> State:
    state = state_of(match["said"])
    asked = "?" in (match.groupdict().get("between") or "")
    return "doubt" if asked and state == "present" and plain(match["said"]) not in _STATE_OF else state


def _name(before: str) -> tuple[int, str]:
    """Where the name of a field begins in the text before its answer, and the name; empty if none."""
    first = max(0, len(before) - _LONGEST)
    bounds = [bound.end() for bound in _BOUND.finditer(before, first)]
    start = bounds[-1] if bounds else first
    pieces = [piece.end() for piece in _PIECE.finditer(before, start)]
    if pieces and _PROSE.search(before, start, pieces[-1]):
        start = pieces[-1]
    letter = re.compile(r"[^\W\d_]").search(before, start)
    is_whole = start > 0 or first == 0
    return (letter.start(), before[letter.start() :].strip()) if letter and is_whole else (start, "")


def _named(name: str, state: State, *, is_tied: bool) -> list[Field]:
    """A colon ties an answer to a list of names, a space to the last one, unless `and` or `or` binds it."""
    pieces = name.split(",")
    if is_tied or len(pieces) == 1 or re.search(r"\b(?:and|or)\b", pieces[-1]):
        return [Field(name, state)]
    return [Field(",".join(pieces[:-1]), "unanswered"), Field(pieces[-1].strip(), state)]


def _boxes(text: str) -> tuple[list[Field], str]:
    """The fields told by check boxes; an empty box denies only where another one is checked."""
    boxes = list(_BOX.finditer(text))
    if not boxes or all(box["full"] for box in boxes):  # a bullet, not a box
        return [], text
    empty: State = "absent" if any(not box["empty"] for box in boxes) else "unanswered"
    found, rest, place = list[Field](), list[str](), 0
    for stop in _STOP.finditer(text):
        part, inside = text[place : stop.start()], list(_BOX.finditer(text, place, stop.start()))
        if inside:
            found += _of_boxes(
                part,
                [(box.start() - place, box.end() - place) for box in inside],
                [empty if box["empty"] else "present" for box in inside],
            )
        rest.append(" . " if inside else text[place : stop.end()])
        place = stop.end()
    return found, "".join(rest)


def _of_boxes(part: str, places: list[tuple[int, int]], states: list[State]) -> list[Field]:
    """The fields of one line: boxes stand all before their names, or all behind them."""
    head, tail = part[: places[0][0]].strip(_MARGIN), part[places[-1][1] :].strip(_MARGIN)
    ends = [start for start, _ in places] + [len(part)]
    names = [part[end:start].strip(_MARGIN) for (_, end), start in zip(places, ends[1:], strict=True)]
    if not tail:
        if not head:  # a box before and one behind: whose is which cannot be told
            return [Field(name, "unanswered") for name in names if name]
        names = [head, *names[:-1]]
        first = _OPTION.fullmatch(head)
        head = first["name"] or "" if first else ""
        names[0] = first["said"] if first and head else names[0]
    if head and all(_OPTION.fullmatch(name) for name in names):
        ticked = (name for name, state in zip(names, states, strict=True) if state == "present")
        checked: list[State] = [state_of(name) for name in ticked]
        one: State = checked[0] if len(set(checked)) == 1 else "doubt" if checked else "unanswered"
        return [Field(head, one)]
    return [Field(name, state) for name, state in zip(names, states, strict=True)]


def state_of(said: str) -> State:
    answer = " ".join(plain(said).split())
    if answer in _STATE_OF:
        return _STATE_OF[answer]
    return "unanswered" if re.fullmatch(_UNFILLED, answer) else "present"
