"""One form for the spellings of an id that tables, hospitals and people give it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

_QUOTES = "\"'`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u2032\u2033\u00ab\u00bb"
_UNSEEN = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad\0"))
_DECIMALS = re.compile(r"(\d+)[.,](?:0{0,2}|0{4,})")  # 1.000 may be a thousand
_EXPONENT = re.compile(r"(\d)[.,](\d+)E\+?(\d+)", re.IGNORECASE)
_ZEROS = re.compile(r"(^|[^\w.]|_|(?<!\d)\.)([^\W\d_]*)0+(?=\d)")  # not within a01f, which may be a digest
_SEPARATORS = re.compile(r"(?:[^\w.]|_|(?<!\d)\.|\.(?!\d))+")  # a point between digits is part of a UID
_LEAST = 6
"""Characters of an id from which on 123-45-67 and 1234567 are one: shorter ones are alike by chance."""


class Form(NamedTuple):
    """What is compared of an id."""

    body: str
    """Without case, leading zeros, decimals and separators, but a blank where one stood between digits."""
    issuer: str = ""
    """Who gave the id, where it says so: of DICOM `ISSUER\\id`, of HL7 `id^^^ISSUER`."""
    joined: str = ""
    """The body as it would be without those blanks; empty if it has none, or is short."""


def canonical(spelling: str) -> Form:
    """The form of an id: `10`, `010`, `10.0` and `"10"` have one, `P-012`, `p_12` and `P12` another."""
    name, issuer = _parts(_unquoted(_plain(spelling).strip()))
    name = _undecimal(name.strip()).casefold()
    body = _unseparated(_unpadded(name)) or name
    joined = _unpadded(_SEPARATORS.sub("", name)) if " " in body else ""
    return Form(body, issuer.strip().casefold(), joined if len(joined) >= _LEAST else "")


def differences(one: str, other: str) -> tuple[str, ...]:
    """The kinds of difference between two spellings of an id, in the order of `canonical`."""
    kinds: list[str] = []
    for kind, step in _STEPS.items():
        after = step(one), step(other)
        if (after[0] != one) != (after[1] != other) or (one != other and after[0] == after[1]):
            kinds.append(kind)
        one, other = after
    return tuple(kinds) or ("several at once",)


class KnownIds:
    """Ids met so far, each with the spelling by which the first of its group came.

    One that names no issuer, or has no separators, goes with the one that has the rest in common, if only one
    has: of two it could be either.
    """

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._by_body: dict[str, dict[str, str]] = {}  # body -> issuer -> first spelling
        self._by_joined: dict[str, set[str]] = {}
        self.kinds: Counter[str] = Counter()
        """The kinds of difference met, each as often as a spelling had it."""
        self.unified = 0
        """Spellings taken for another one that came before them."""

    def first(self, spelling: str) -> str:
        """The first spelling met of this id; itself where it is the first."""
        known = self._first.get(spelling)
        if known is None:
            known = self._first[spelling] = self._meet(spelling)
        return known

    def card(self) -> dict[str, int | dict[str, int]]:
        """How many were unified and by what; empty if none were."""
        return {"unified": self.unified, "by": dict(sorted(self.kinds.items()))} if self.unified else {}

    def _meet(self, spelling: str) -> str:
        form = canonical(spelling)
        first = self._alike(form)
        if first is not None:
            self.unified += 1
            self.kinds.update(differences(first, spelling))
        first = spelling if first is None else first
        self._by_body.setdefault(form.body, {}).setdefault(form.issuer, first)
        if form.joined:
            self._by_joined.setdefault(form.joined, set()).add(first)
        return first

    def _alike(self, form: Form) -> str | None:
        issuers = self._by_body.get(form.body) or self._by_body.get(form.joined)
        if issuers is None:
            return _only(() if form.joined else self._by_joined.get(form.body, ()))
        if form.issuer in issuers:
            return issuers[form.issuer]
        return _only(issuers.values()) if "" in (form.issuer, *issuers) else None


def by_group(spellings: Iterable[str]) -> KnownIds:
    """All of them met; those that leave out issuer or separators last, when it is known whose they may be."""
    known = KnownIds()
    for spelling in sorted(dict.fromkeys(spellings), key=_detail):
        known.first(spelling)
    return known


def counted_kinds(kinds: Mapping[str, int]) -> str:
    """`case 1, decimals 2`."""
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))


def near_misses(one: Iterable[str], other: Iterable[str]) -> dict[str, str]:
    """Of ids that have no equal on the other side, those with one canonical match, unique on both sides."""
    left, right = set(one), set(other)
    if left <= right:
        return {}
    groups = _grouped(left), _grouped(right)
    return {
        names[0]: groups[1][form][0]
        for form, names in groups[0].items()
        if len(names) == len(groups[1].get(form, ())) == 1 and names[0] not in right
    }


def would_match(one: Iterable[str], other: Iterable[str]) -> str:
    """How many of the ids without an equal would have one if spellings did not count; empty if none would."""
    left, right = set(one), set(other)
    near = near_misses(left, right)
    if not near:
        return ""
    return f"; {len(near):,} of {len(left - right):,} such would match if {kinds_of(near)} were ignored"


def kinds_of(pairs: Mapping[str, str]) -> str:
    """`case and decimals` of what these spellings differ in."""
    kinds = sorted({kind for pair in pairs.items() for kind in differences(*pair)})
    return " and ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))


def _detail(spelling: str) -> tuple[bool, bool]:
    form = canonical(spelling)
    return not form.issuer, not form.joined


def _only(names: Collection[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def _grouped(names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names):
        form = canonical(name)
        groups.setdefault((form.joined or form.body, form.issuer), []).append(name)
    return groups


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_UNSEEN)


def _unquoted(text: str) -> str:
    """Without marks around it, and without the `=` by which spreadsheets keep "0010" a text."""
    return text.removeprefix("=").strip(_QUOTES).strip() or text


def _parts(text: str) -> tuple[str, str]:
    """The id itself and its issuer, as DICOM sources here and as HL7's CX write them."""
    issuer, backslash, name = text.partition("\\")
    if backslash and name:
        return name, issuer
    name, *rest = text.split("^")
    is_coded = len(rest) > 2 and any(map(str.isdigit, name))  # names have carets too
    return (name, rest[2].partition("&")[0]) if is_coded else (text, "")


def _undecimal(text: str) -> str:
    if match := _DECIMALS.fullmatch(text):
        return match[1]
    if match := _EXPONENT.fullmatch(text):
        digits, rest = match[2][: int(match[3])], match[2][int(match[3]) :]
        return match[1] + digits if len(digits) == int(match[3]) and not rest.strip("0") else text
    return text


def _unpadded(text: str) -> str:
    return _ZEROS.sub(r"\1\2", text)


def _unseparated(text: str) -> str:
    blanks = _SEPARATORS.sub(" ", text).strip()
    return re.sub(r"(?<!\d) | (?!\d)", "", blanks)


_STEPS: Mapping[str, Callable[[str], str]] = {
    "Unicode": _plain,
    "white space": str.strip,
    "quotes": _unquoted,
    "issuer": lambda text: _parts(text)[0].strip(),
    "decimals": _undecimal,
    "case": str.casefold,
    "leading zeros": _unpadded,
    "separators": lambda text: _SEPARATORS.sub("", text),
}
"""What `canonical` takes away, by the kind of difference; in the last, more than where digits meet."""
