"""Prompts in the words of a corpus's own reports."""

from collections.abc import Mapping, Sequence

from medistill.data.report.sections import Sections
from medistill.data.report.words import read_words
from medistill.data.rule_labels.affirmed import affirmed, affirms, findings_named, is_calm
from medistill.data.rule_labels.labels import FINDINGS, label_sections
from medistill.evaluate.prompts.shared import order_of, shared_sentences

_OTHER_WORDS: dict[str, list[str]] = read_words(__package__, "words.yaml")
_TEMPLATES = ("{}.", "There is {}.")
"""What is asked where no shared sentence affirms a finding: its name, alone and in a sentence."""
_MOST = 8
"""Prompts a side: beyond, their mean hardly moves."""
_NORMAL = ("no finding", "normal")
"""Findings that say there is none: their sides are the others', turned round."""
_ENOUGH = 20_000
"""Reports, spread over all: the rules take half a second for a thousand."""
_FEWEST = 2
"""Patients that must say a sentence, however few `min_patients` asks for: never one report's own words."""


def derive_prompts(
    reports: Sequence[str], patients: Sequence[str], findings: Sequence[str], *, min_patients: int
) -> dict[str, dict[str, list[str]]]:
    """Finding -> what reports like these say when it is there, and what they say when all is well.

    reports    the texts that a model was trained on, with the patient of each
    findings   those to ask about; the 14 of the rule labeler if there are none
    returns    nothing where no such sentence is found: of reports too few, or not in English

    The negative side is what normal reports say: a denial of one finding (`No effusion.`) stands in abnormal
    reports too, and tells less; what names no finding and normal reports alone say comes first. Every
    sentence taken is said word for word in the reports of `min_patients` patients, two at least, and can name
    nobody (`shared_sentences`). Of many reports, `_ENOUGH` are looked at.
    """
    step = max(1, len(reports) // _ENOUGH)
    reports, patients = reports[::step], patients[::step]
    least = max(_FEWEST, min_patients)
    normal = _normal_reports(reports)
    well = shared_sentences(reports, patients, least=least, within=normal)
    every = shared_sentences(reports, patients, least=least)
    calm = _most_telling(well, every, share=len(normal) / len(reports))
    if not calm:
        return {}
    said = Affirmations(every)
    return {
        finding: {"positive": calm, "negative": said.of_any()}
        if is_normal(finding)
        else {"positive": said.of(finding) or templates(finding), "negative": calm}
        for finding in findings or FINDINGS
    }


def _most_telling(well: Mapping[str, int], every: Mapping[str, int], *, share: float) -> list[str]:
    """The sentences that tell normal reports best: said by them, hardly by any other, of no finding by name.

    well    sentence -> patients with a normal report that says it; every: the same of all reports
    share   of reports that are normal
    """

    def odds(sentence: str) -> float:
        others = every.get(sentence, 0) - well[sentence] + 1
        return well[sentence] / max(share, 1e-9) / (others / max(1 - share, 1e-9))

    calm = [sentence for sentence in well if is_calm(sentence)]
    # `No effusion.` is near every report that speaks of effusions.
    general = [sentence for sentence in calm if not findings_named(sentence)]
    return sorted(general or calm, key=lambda sentence: (-odds(sentence), sentence))[:_MOST]


class Affirmations:
    """Which shared sentences affirm what."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts
        self._found = {sentence: found for sentence in counts if (found := affirmed(sentence))}

    def of(self, finding: str) -> list[str]:
        """Sentences that affirm it by its own words, or as the rules know it; none where neither does."""
        words = words_of(finding)
        kinds = {words} & {*FINDINGS} or findings_named(words)
        by_rule = [sentence for sentence, found in self._found.items() if found <= kinds]
        if words in FINDINGS:
            return order_of(self._counts, by_rule, _MOST)
        alone = (sentence for sentence in self._counts if self._found.get(sentence, kinds) <= kinds)
        named = [sentence for sentence in alone if affirms(sentence, names_of(finding))]
        return order_of(self._counts, named or by_rule, _MOST)

    def of_any(self) -> list[str]:
        """Sentences that affirm any finding, or plain ones where there are none."""
        found = order_of(self._counts, self._found, _MOST)
        return found or [
            text for finding in FINDINGS if not is_normal(finding) for text in templates(finding)
        ]


def is_normal(finding: str) -> bool:
    """Whether it is the name of a label that says there is no finding."""
    return words_of(finding).casefold() in _NORMAL


def words_of(finding: str) -> str:
    """A finding's name as reports would write it: without what says who labeled it."""
    return " ".join(finding.rpartition(": ")[2].replace("_", " ").split())


def names_of(finding: str) -> list[str]:
    """By what words reports may name it."""
    words = words_of(finding)
    return [words, *_OTHER_WORDS.get(words.lower(), ())]


def templates(finding: str) -> list[str]:
    """Plain sentences that affirm a finding."""
    return [_sentence(template.format(name)) for template in _TEMPLATES for name in names_of(finding)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _normal_reports(reports: Sequence[str]) -> list[int]:
    """The places of those in which the rules find nothing abnormal."""
    labels = {text: label_sections(Sections(findings=text)) for text in set(reports)}
    return [place for place, text in enumerate(reports) if labels[text].get("no finding") == 1]
