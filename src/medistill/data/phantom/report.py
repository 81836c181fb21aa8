"""Words a phantom study's report: what is there, what is not, what has changed."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from medistill.data.phantom.devices import tube_tip
from medistill.data.phantom.findings import MM_PER_UNIT, Finding
from medistill.data.phantom.history import Episode

Random = np.random.Generator
WORDS: Any = yaml.safe_load(files(__package__ or "").joinpath("words.yaml").read_text("utf-8"))
"""Sentences by what they say: words.yaml beside this file."""
SIDES = {1: "left", -1: "right", 0: ""}


def report(episode: Episode, random: Random) -> tuple[str, str]:
    """FINDINGS and IMPRESSION."""
    if not episode.findings and not episode.resolved:
        return normal_report(random)
    parts = [stated(finding, episode.changes.get(finding.name), random) for finding in episode.findings]
    parts += [cleared(name, random) for name in episode.resolved]
    negations = absences(episode, random)
    return " ".join([*shuffled(parts, random), *negations]), impression(episode, random)


def normal_report(random: Random) -> tuple[str, str]:
    """Often one of a few reports that thousands of studies share word for word."""
    chance = random.random()
    for share, findings, summary in WORDS["normal_reports"]:
        chance -= share
        if chance < 0:
            return findings, summary
    kinds = shuffled(list(WORDS["absent"]), random)[: 3 + int(3 * random.random())]
    sentences = [
        one_of(WORDS["normal_openings"], random),
        *(one_of(WORDS["absent"][kind], random) for kind in kinds),
    ]
    return " ".join(sentences), one_of(WORDS["normal_impressions"], random)


def stated(finding: Finding, change: str | None, random: Random) -> str:
    sentence = filled(one_of(WORDS["present"][kind(finding.name)], random), finding)
    if change is None or (change == "unchanged" and random.random() < 0.4):
        return sentence
    return f"{sentence} {one_of(WORDS['changed'][change], random)}"


def cleared(name: str, random: Random) -> str:
    gone = WORDS["removed"] if name in ("pacemaker", "endotracheal tube") else WORDS["resolved"]
    return one_of(gone, random).format(name)


def absences(episode: Episode, random: Random) -> list[str]:
    """A few of the findings that are not there, fewer the more there is to say."""
    absent = {name for name, label in episode.labels.items() if not label}
    sentences: list[str] = []
    for what in shuffled(list(WORDS["absent"]), random)[: 7 - min(len(episode.findings), 4)]:
        sides = [side for side in ("left", "right") if f"{side} {what}" in absent]
        if what in absent or len(sides) == 2:
            sentences.append(one_of(WORDS["absent"][what], random))
        elif sides:
            sentences.append(one_of(WORDS["one_side_absent"][what], random).format(side=sides[0]))
    return sentences


def impression(episode: Episode, random: Random) -> str:
    """The one or two findings that matter most, some with a hedge."""
    if not episode.findings:
        return one_of(WORDS["normal_impressions"], random)
    sentences: list[str] = []
    for finding in episode.findings[:3]:
        brief = filled(one_of(WORDS["brief"][kind(finding.name)], random), finding)
        device = finding.name in ("pacemaker", "endotracheal tube")
        if random.random() < 0.2 and not device:
            brief = one_of(WORDS["hedges"], random).format(brief[0].lower() + brief[1:])
        sentences.append(brief.rstrip(".") + ".")
    return " ".join(sentences)


def kind(name: str) -> str:
    """`effusion` for `left effusion`."""
    return name.removeprefix("left ").removeprefix("right ")


def filled(sentence: str, finding: Finding) -> str:
    third = min(int(3 * finding.severity), 2)
    zone = finding.zone
    text = sentence.format(
        grade=WORDS["severity"][third],
        size=WORDS["size"][third],
        side=SIDES[finding.side],
        zone=zone,
        lobe="middle" if zone == "mid" and finding.side < 0 else "upper" if zone == "mid" else zone,
        mm=finding.millimeters,
        cm=round(finding.millimeters / 10),
        tip=max(1, round((-0.25 - tube_tip(finding)) * MM_PER_UNIT / 10)),
    )
    return text[0].upper() + text[1:]


def one_of(choices: Sequence[str], random: Random) -> str:
    return choices[int(random.random() * len(choices))]


def shuffled(items: list[str], random: Random) -> list[str]:
    order = np.argsort(random.random(len(items)), kind="stable")
    return [items[place] for place in order]
