"""Which findings a phantom patient has, from study to study."""

from dataclasses import dataclass, replace

import numpy as np

from medistill.data.phantom.findings import FINDINGS, Finding, random_finding

WEIGHTS: dict[str, float] = {
    "cardiomegaly": 1.15,
    "fracture": 1.1,
    "endotracheal tube": 1.0,
    "emphysema": 1.1,
}
"""How often a finding is drawn first; 1 where nothing is said."""
TOGETHER: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("edema", "pacemaker", "right effusion"),
    "edema": ("cardiomegaly", "left effusion", "right effusion", "endotracheal tube"),
    "endotracheal tube": ("left consolidation", "right consolidation", "atelectasis"),
    "fracture": ("left pneumothorax", "right pneumothorax"),
    "mass": ("left effusion", "right effusion"),
}
"""Findings that favor one another, as they do in patients."""
APART = (
    {"emphysema", "edema"},
    {"left pneumothorax", "right pneumothorax"},
    {"emphysema", "left pneumothorax"},
    {"emphysema", "right pneumothorax"},
    {"emphysema", "cardiomegaly"},
)
"""Pairs in which one would hide the other."""
LASTING = ("cardiomegaly", "emphysema", "mass", "nodule", "pacemaker", "fracture")
NORMAL = 0.39
COUNT_ODDS = (0.27, 0.62, 0.86, 1.0)
"""Cumulative odds of one to four findings in an abnormal study."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """The state of one study beside the one before it."""

    findings: tuple[Finding, ...]
    changes: dict[str, str]
    """Finding -> new, unchanged, increased, decreased; empty for a first study."""
    resolved: tuple[str, ...] = ()
    follow_up: bool = False

    @property
    def labels(self) -> dict[str, int]:
        present = {finding.name for finding in self.findings}
        return {name: int(name in present) for name in FINDINGS}


def course(random: np.random.Generator) -> list[Episode]:
    """One to three studies; about a third of all are normal."""
    chance = random.random()
    length = 1 if chance < 0.55 else 2 if chance < 0.82 else 3
    episodes = [Episode(findings=first_findings(random), changes={})]
    while len(episodes) < length:
        episodes.append(next_episode(episodes[-1], random))
    return episodes


def first_findings(random: np.random.Generator) -> tuple[Finding, ...]:
    if random.random() < NORMAL:
        return ()
    chance = random.random()
    count = 1 + sum(chance >= odds for odds in COUNT_ODDS)
    findings: tuple[Finding, ...] = ()
    for _ in range(count):
        findings = (*findings, random_finding(another(findings, random), random))
    return findings


def another(findings: tuple[Finding, ...], random: np.random.Generator) -> str:
    """A finding not yet there, drawn by weight."""
    there = {finding.name for finding in findings}
    odds: dict[str, float] = {}
    for name in FINDINGS:
        barred = name in there or any(name in pair and pair & there for pair in APART)
        friends = sum(name in TOGETHER.get(other, ()) for other in there)
        odds[name] = 0.0 if barred else WEIGHTS.get(name, 1.0) * (1 + 0.7 * friends)
    target = random.random() * sum(odds.values())
    for name, weight in odds.items():
        target -= weight
        if target < 0:
            return name
    return max(odds, key=lambda name: odds[name])


def next_episode(before: Episode, random: np.random.Generator) -> Episode:
    findings: list[Finding] = []
    changes: dict[str, str] = {}
    resolved: list[str] = []
    for finding in before.findings:
        if random.random() < (0.06 if finding.name in LASTING else 0.35):
            resolved.append(finding.name)
            continue
        finding, change = progressed(finding, random)
        findings.append(finding)
        changes[finding.name] = change
    if random.random() < (0.4 if not before.findings else 0.35 if len(findings) < 4 else 0.0):
        name = another(tuple(findings), random)
        findings.append(random_finding(name, random))
        changes[name] = "new"
    here = {finding.name for finding in findings}
    gone = tuple(name for name in resolved if name not in here)
    changes.update({name: "unchanged" for name in resolved if name in here})
    return Episode(findings=tuple(findings), changes=changes, resolved=gone, follow_up=True)


def progressed(finding: Finding, random: np.random.Generator) -> tuple[Finding, str]:
    """The same finding later: mostly unchanged, sometimes by a visible step more or less."""
    chance = random.random()
    if finding.name in ("pacemaker", "fracture", "endotracheal tube") or chance < 0.5:
        return finding, "unchanged"
    step = 0.3 if chance < 0.75 else -0.3
    if not 0 <= finding.severity + step <= 1:
        step = -step
    return replace(finding, severity=finding.severity + step), "increased" if step > 0 else "decreased"
