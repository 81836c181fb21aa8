"""Reports say what is drawn."""

import re
from functools import cache

import numpy as np
import pytest

from medistill.data.phantom.findings import FINDINGS, random_finding
from medistill.data.phantom.history import APART, Episode, course
from medistill.data.phantom.prompts import PROMPTS
from medistill.data.phantom.report import kind, report
from medistill.data.report import normalized_text

SAID: dict[str, str] = {
    "cardiomegaly": r"cardiomegaly|enlarged|enlargement",
    "effusion": r"effusion|fluid",
    "pneumothorax": r"pneumothorax",
    "consolidation": r"consolidation|pneumonia",
    "endotracheal tube": r"endotracheal tube|intubated",
}


@cache
def episodes() -> tuple[Episode, ...]:
    random = np.random.Generator(np.random.PCG64(4))
    return tuple(episode for _ in range(300) for episode in course(random))


def words_of(episode: Episode, seed: int = 0) -> tuple[str, str]:
    return report(episode, np.random.Generator(np.random.PCG64(seed)))


def asserted(text: str) -> list[str]:
    """Sentences that claim something is there."""
    sentences = re.split(r"(?<=\.)\s", text)
    return [s for s in sentences if not re.match(r"No |There is no |Normal |The .* (not|normal)", s)]


def test_every_finding_present_is_mentioned_with_its_side():
    for episode in episodes():
        findings, _ = words_of(episode)
        for finding in episode.findings:
            pattern = SAID.get(kind(finding.name), kind(finding.name))
            claims = [s for s in asserted(findings) if re.search(pattern, s, re.IGNORECASE)]
            assert claims, (finding.name, findings)
            if finding.side:
                side = "left" if finding.side > 0 else "right"
                assert any(re.search(side, s, re.IGNORECASE) for s in claims), (finding.name, findings)


def test_a_finding_present_is_never_denied():
    for episode in episodes():
        findings, _ = words_of(episode)
        for finding in episode.findings:
            what = kind(finding.name)
            side = {1: "left ", -1: "right ", 0: ""}[finding.side]
            for denial in (
                f"No {side}{what}.",
                f"No {what}.",
                f"There is no {what}.",
                f"No pulmonary {what}.",
            ):
                assert denial not in findings


def test_normal_studies_deny_and_claim_nothing():
    normal = Episode(findings=(), changes={})
    for seed in range(40):
        findings, impression = words_of(normal, seed)
        assert not re.search(r"small|moderate|severe|mm|prior", findings + impression)
        assert impression.startswith(("No acute", "Normal"))


@pytest.mark.parametrize(
    ("change", "words"),
    [("new", "new"), ("increased", "increased|more|worse"), ("decreased", "decreased|less|improved")],
)
def test_changes_since_the_prior_are_told(change: str, words: str):
    finding = random_finding("left effusion", np.random.Generator(np.random.PCG64(0)))
    for seed in range(20):
        findings, _ = words_of(
            Episode(findings=(finding,), changes={finding.name: change}, follow_up=True), seed
        )
        assert re.search(words, findings, re.IGNORECASE)


def test_what_has_resolved_is_said_and_labelled_absent():
    episode = Episode(findings=(), changes={}, resolved=("edema",), follow_up=True)
    findings, _ = words_of(episode)
    assert re.search(r"edema", findings)
    assert re.search(r"resolved|no longer", findings, re.IGNORECASE)
    assert episode.labels["edema"] == 0


def test_the_millimeters_in_the_report_are_those_of_the_drawing():
    for seed in range(20):
        nodule = random_finding("nodule", np.random.Generator(np.random.PCG64(seed)))
        findings, _ = words_of(Episode(findings=(nodule,), changes={}), seed)
        assert re.search(rf"\b{nodule.millimeters} mm\b", findings)
        assert nodule.millimeters <= 30


def test_the_worst_third_is_called_large():
    random = np.random.Generator(np.random.PCG64(1))
    for _ in range(60):
        finding = random_finding("right effusion", random)
        findings, _ = words_of(Episode(findings=(finding,), changes={}))
        if finding.severity > 0.67:
            assert not re.search(r"small|moderate", findings, re.IGNORECASE)


def test_findings_that_hide_one_another_do_not_start_together():
    for episode in episodes():
        if not episode.follow_up:
            present = {finding.name for finding in episode.findings}
            assert not any(pair <= present for pair in APART)


@cache
def texts() -> list[str]:
    """Reports of all episodes, without the cost of drawing them."""
    return [" ".join(words_of(episode, seed)) for seed, episode in enumerate(episodes())]


def test_a_third_of_the_studies_are_normal_and_many_share_a_report():
    normal = [text for text, episode in zip(texts(), episodes(), strict=True) if not episode.findings]
    assert 0.28 < len(normal) / len(texts()) < 0.42
    assert max(normal.count(text) for text in set(normal)) > 0.2 * len(normal)


def test_reports_are_short_and_of_common_words():
    lengths = [len(text.split()) for text in texts()]
    assert 25 <= np.median(lengths) <= 45
    assert max(lengths) <= 100
    assert all(re.fullmatch(r"[A-Za-z0-9 ,.]+", text) for text in texts())
    assert len({word for text in texts() for word in re.findall(r"[a-z]+", text.lower())}) < 250


def test_every_finding_has_prompts_in_the_words_of_the_reports():
    vocabulary = {word for text in texts() for word in normalized_text(text).split()}
    assert tuple(PROMPTS) == FINDINGS
    for wordings in PROMPTS.values():
        for answer in ("positive", "negative"):
            assert 3 <= len(wordings[answer]) <= 6
            for prompt in wordings[answer]:
                assert set(normalized_text(prompt).split()) <= vocabulary, prompt


def test_each_finding_is_common_enough_to_be_measured():
    labels = np.array([list(episode.labels.values()) for episode in episodes()])
    for name, share in zip(FINDINGS, labels.mean(axis=0), strict=True):
        assert 0.045 < share < 0.18, name
