"""Scores of findings with what they rest on: calibrated where labels allow it, and how sure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32
from scipy.special import expit

from medistill.data.corpus import Corpus
from medistill.errors import CallError
from medistill.evaluate.prompts.own import asked, own_prompts
from medistill.evaluate.prompts.prompts import Prompts
from medistill.evaluate.prompts.resolved import resolve_prompts
from medistill.model.embedder import UnitEmbedder
from medistill.serve.label.classifier import Classifier
from medistill.serve.label.from_prompts import FromPrompts, Validation, fitted, validation_of
from medistill.system.progress import Progress

NEAREST = 40
"""Validation studies that the interval of a score rests on, at most."""
LIKELY, UNLIKELY = 0.66, 0.33
"""Bounds of the two words as the IPCC defines them (Mastrandrea et al. 2010, note on uncertainties)."""
_Z = 1.959963984540054  # of a 95 % interval
Word = Literal["likely", "unlikely", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One finding of one image."""

    probability: float
    calibrated: bool
    low: float | None
    high: float | None
    said: Word
    basis: str


@dataclass(frozen=True)
class Known:
    """Findings that the served corpus labels: their classifier, and the studies it was fitted to."""

    classifier: Classifier
    validation: Validation

    def place(self, finding: str) -> int | None:
        """Where a finding stands, whatever its case, blanks and underscores; None if it is not known."""
        names, name = [plain_name(name) for name in self.classifier.findings], plain_name(finding)
        return names.index(name) if name in names else None

    def judged(self, place: int, image: Float32[np.ndarray, " d"]) -> Judged:
        """The calibrated probability with its interval, or why there is none."""
        basis = self.classifier.basis[place]
        probability = float(self.classifier.probabilities(image[None])[0, place])
        if not basis.calibrated:
            return uncalibrated(probability, basis.calibration)
        labels = self.validation.labels[:, place]
        stated = (labels == 0) | (labels == 1)
        scores = self._scores[stated, place]
        score = float(self.classifier.scores(image[None])[0, place])
        return nearest_told(probability, score, scores, labels[stated])

    @cached_property
    def _scores(self) -> Float[np.ndarray, "n f"]:
        return self.classifier.scores(self.validation.images)


def nearest_told(
    probability: float, score: float, scores: Float[np.ndarray, " n"], labels: Float[np.ndarray, " n"]
) -> Judged:
    """A probability with what was true of the labeled validation studies whose scores lie nearest.

    They are `NEAREST`, or as many as there are positive or negative studies if those are fewer: else the
    highest score of a rare finding would lie among negative ones for want of positive ones. The interval is
    Wilson's of the share that shows the finding, widened to hold the fitted probability: where the two
    disagree, less is known. The word is said of the whole interval.
    """
    positive = int((labels == 1).sum())
    count = min(NEAREST, positive, len(labels) - positive)
    nearest = np.argsort(np.abs(scores - score), kind="stable")[:count]
    showing = int((labels[nearest] == 1).sum())
    low, high = wilson(showing, count)
    low, high = min(low, probability), max(high, probability)
    said: Word = "likely" if low >= LIKELY else "unlikely" if high <= UNLIKELY else "cannot tell"
    basis = (
        f"Of the {count} labeled validation studies with the nearest scores, {showing} showed it; calibrated "
        f"on {positive} studies with it and {len(labels) - positive} without."
    )
    return Judged(probability=probability, calibrated=True, low=low, high=high, said=said, basis=basis)


def uncalibrated(probability: float, why: str) -> Judged:
    """A figure that ranks images and is no probability."""
    return Judged(
        probability=probability, calibrated=False, low=None, high=None, said="cannot tell", basis=f"{why}."
    )


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    share, z2 = hits / count, _Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def judged_plainly(
    weight: Float32[np.ndarray, " d"],
    image: Float32[np.ndarray, " d"],
    scale: float | None,
    unseen: Sequence[str] = (),
) -> Judged:
    """A finding that no validation study is labeled with; `unseen` are scripts of its name."""
    figure = float(expit((scale or 1.0) * float(image @ weight)))
    if unseen:
        why = f"The model has never seen this script ({', '.join(unseen)}): the figure means nothing"
        return uncalibrated(figure, why)
    return uncalibrated(figure, "Not calibrated: the served corpus has no labels of this finding")


def known_findings(
    model: UnitEmbedder, corpus: Corpus, about: Mapping[str, object], on_progress: Progress | None = None
) -> Known | None:
    """The findings of a corpus calibrated on its validation studies, asked for as `medistill evaluate` does.

    None if the corpus labels none, or too few patients for any.
    """
    if not corpus.findings:
        return None
    source = str(corpus.card.get("source", ""))
    prompts = resolve_prompts(corpus.findings, None, source=source, own=own_prompts(model))
    try:
        validation = validation_of(model, corpus, corpus.findings, on_progress)
    except CallError:  # no split to calibrate on, or too few labels there: said of each score
        return None
    plain = FromPrompts(prompts=prompts).make(model, dict(about))
    return Known(fitted(plain, validation), validation)


def prompts_of(finding: str, own: Prompts | None) -> dict[str, list[str]]:
    """What is asked of the text encoder for a finding that was typed in."""
    return asked(finding.strip(), own)


def plain_name(finding: str) -> str:
    """A finding's name for comparison."""
    return " ".join(finding.replace("_", " ").casefold().split())
