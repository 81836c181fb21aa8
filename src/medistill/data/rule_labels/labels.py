"""Labels for the common findings, read from an English report by rules."""

from medistill.data.report.forms import Field, fields
from medistill.data.report.language import known_words, speaks_english
from medistill.data.report.sections import Sections, read_sections
from medistill.data.report.sentences import sentences
from medistill.data.rule_labels.headings import stated_of_line
from medistill.data.rule_labels.lexicon import ABNORMALITY, FINDINGS
from medistill.data.rule_labels.states import ABSENT, PRESENT, UNCERTAIN, Stated, stated
from medistill.data.rule_labels.wording import asked_out, small, written_out

__all__ = ["FINDINGS", "label_report", "label_sections"]
_WEIGHT = {ABSENT: 0, UNCERTAIN: 1, PRESENT: 2}


def label_report(text: str) -> dict[str, int]:
    """Finding -> 1 present, 0 absent, -1 uncertain; see `label_sections`.

    Of a text with headers, findings and impression are read: what was asked or known before is no finding.
    """
    return label_sections(read_sections(text))


def label_sections(sections: Sections) -> dict[str, int]:
    """Finding -> 1 present, 0 absent, -1 uncertain; a finding that is not spoken of is left out.

    Sentence by sentence: a term is denied by a negation before it (`no`, `without`) or behind it (`is not
    seen`) in the same clause, doubted by a hedge (`possible`, `may represent`, `cannot be excluded`), else
    present; of what was before (`history of`) nothing is said. In a form, the answer says it: `Edema: no`,
    `[x] Edema`. Over a report present outweighs uncertain, and uncertain absent. What is called normal makes
    the finding absent that it would have: `heart size is normal`.

    `no finding` is 1 where something is called normal or denied and nothing abnormal is present or uncertain;
    unlike CheXpert's, a device, an old scar, degeneration or a poor film rules it out too. Of a text that is
    not in English only the answers to findings named as in English are taken, and one with a sentence or an
    answer not understood is never called normal.
    """
    parts = [fields(written_out(part)) for part in (sections.findings, sections.impression)]
    answers = [answer for answers, _ in parts for answer in answers]
    prose = [sentence for _, rest in parts for sentence in sentences(asked_out(rest))]
    words = [known_words(small(text)) for text in [*prose, *(answer.name for answer in answers)]]
    is_english = speaks_english(sum(count for count, _ in words), sum(count for _, count in words))
    labels, calm, clear = dict[str, int](), False, True
    said = [_answered(answer) for answer in answers if _is_understood(answer.name, is_english)]
    if is_english:
        said += [_of_sentence(sentence) for sentence in prose]
    for stated_here, is_calm, is_clear in said:
        calm, clear = calm or is_calm, clear and is_clear
        for finding, state in stated_here:
            labels[finding] = _stronger(labels.get(finding), state)
    return _with_no_finding(labels, calm and clear and is_english)


def _is_understood(name: str, is_english: bool) -> bool:
    """In a text of another language, only a name without any word of it."""
    english, foreign = known_words(small(name))
    return speaks_english(english, foreign) if is_english else not foreign


def _of_sentence(sentence: str) -> tuple[Stated, bool, bool]:
    """What it states, whether something is called normal or denied, and whether it is understood."""
    text = small(sentence)
    said, calm = stated_of_line(text)
    if sentence.rstrip("\"') ]").endswith("?"):
        return [(finding, UNCERTAIN) for finding, _ in said], False, True
    english, _ = known_words(text)
    return said, calm, bool(len(text.split()) < 3 or english or said or calm)


def _answered(answer: Field) -> tuple[Stated, bool, bool]:
    """The same of a field; an answer to what its name denies is only understood if it agrees."""
    said, calm = stated(small(answer.name))
    named = [finding for finding, state in said if state != ABSENT]
    if answer.state == "unanswered":
        return [], False, not (said or calm)
    if answer.state == "absent":
        return [(finding, ABSENT) for finding in named], bool(named), not calm
    if answer.state == "doubt":
        return [(finding, UNCERTAIN) for finding in named], False, not calm
    if len({*named} - {ABNORMALITY}) > 1:  # one of them at least, but which?
        return [(finding, UNCERTAIN) for finding in named], False, True
    return said, calm, True


def _with_no_finding(labels: dict[str, int], is_normal: bool) -> dict[str, int]:
    worst = max((_WEIGHT[state] for state in labels.values()), default=0)
    stated = {finding: state for finding, state in labels.items() if finding != ABNORMALITY}
    if worst:
        stated["no finding"] = ABSENT if worst == _WEIGHT[PRESENT] else UNCERTAIN
    elif is_normal:
        stated["no finding"] = PRESENT
    return {finding: stated[finding] for finding in FINDINGS if finding in stated}


def _stronger(state: int | None, other: int) -> int:
    return other if state is None else max(state, other, key=_WEIGHT.__getitem__)
