"""What a single sentence of an English report affirms."""

import re
from collections.abc import Iterable

from medistill.data.report.sections import Sections
from medistill.data.rule_labels.labels import label_sections
from medistill.data.rule_labels.lexicon import ABNORMALITY
from medistill.data.rule_labels.states import PRESENT, states_of, terms
from medistill.data.rule_labels.wording import asked_out, small, written_out


def affirmed(sentence: str) -> set[str]:
    """The findings of ours that it says are there; none where it denies or doubts another, or asks."""
    stated = label_sections(Sections(findings=sentence))
    found = {finding: state for finding, state in stated.items() if finding != "no finding"}
    return set(found) if set(found.values()) == {PRESENT} else set()


def is_calm(sentence: str) -> bool:
    """Whether it denies, or calls normal, and states nothing that is not."""
    return label_sections(Sections(findings=sentence)).get("no finding") == PRESENT


def affirms(sentence: str, names: Iterable[str]) -> bool:
    """Whether it says that something is there which is called so, and denies or doubts no mention of it.

    names   in any case, the singular: `rib fracture`
    """
    if sentence.rstrip("\"') ]").endswith("?") or ":" in sentence:
        return False
    words = re.compile("|".join(rf"\b{_spaced(name)}(?:s|es)?\b" for name in names))
    states = states_of(small(asked_out(written_out(sentence))), words)
    return bool(states) and set(states) == {PRESENT}


def findings_named(name: str) -> set[str]:
    """The findings of ours that a name or sentence names, whatever it says of them: `No effusion.` one."""
    return {kind for kind, _, _ in terms(small(written_out(name)))} - {ABNORMALITY}


def _spaced(name: str) -> str:
    return r"\W+".join(map(re.escape, small(name).split()))
