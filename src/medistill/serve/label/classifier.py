"""Findings from embeddings: one affine score a finding, its calibration, and where both come from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32
from safetensors.numpy import load, save
from scipy.special import expit

from medistill import __version__
from medistill.errors import CallError
from medistill.system.checksums import read_checked, write_checked

FORMAT = 1
WEIGHTS, CARD = "classifier.safetensors", "classifier.json"
_TENSORS = ("weight", "offset", "slope", "bias", "threshold")
LEAST = 10
"""Positive and negative patients that a finding needs before it is calibrated, of each."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What the probability and the decision of one finding rest on."""

    calibrated: bool = False
    calibration: str
    """How the probability was fitted; or that it was not, and why."""
    threshold_origin: str = "0.5, not fitted"
    positive: int | None = None
    """Examples that show the finding, of those it was fitted or calibrated on; None if there were none."""
    negative: int | None = None


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """score = weight . embedding + offset; probability = sigmoid(slope * score + bias).

    A finding is said to be present from its threshold on.
    """

    findings: tuple[str, ...]
    weight: Float[np.ndarray, "f d"]
    offset: Float[np.ndarray, " f"]
    slope: Float[np.ndarray, " f"]
    bias: Float[np.ndarray, " f"]
    threshold: Float[np.ndarray, " f"]
    basis: tuple[Basis, ...]
    made_with: Mapping[str, Any]
    """The prompts or the table it was made from."""
    model: Mapping[str, Any]
    """The model whose embeddings it reads: sha256 and preprocessing."""

    def scores(self, images: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, "n f"]:
        return images.astype(np.float64) @ self.weight.T + self.offset

    def probabilities(self, images: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, "n f"]:
        return expit(self.slope * self.scores(images) + self.bias)

    def decisions(self, probabilities: Float[np.ndarray, "n f"]) -> Bool[np.ndarray, "n f"]:
        return probabilities >= self.threshold

    @property
    def sha256(self) -> str:
        """Over the weights and what they are for."""
        named = json.dumps([self.findings, self.model], sort_keys=True).encode()
        return hashlib.sha256(named + self._packed()).hexdigest()

    def chosen(self, findings: Sequence[str]) -> "Classifier":
        """Some of its findings, in the order given; CallError for one it does not know."""
        places = [self.findings.index(checked_finding(name, self.findings)) for name in findings]
        arrays = {name: getattr(self, name)[places] for name in _TENSORS}
        basis = tuple(self.basis[place] for place in places)
        return replace(self, findings=tuple(findings), basis=basis, **arrays)

    def described(self) -> dict[str, Any]:
        """What each finding rests on, by finding."""
        return {
            finding: {**asdict(basis), "threshold": float(threshold)}
            for finding, basis, threshold in zip(self.findings, self.basis, self.threshold, strict=True)
        }

    def save(self, folder: Path) -> None:
        """Write the weights and, in JSON, what they are; each whole or not at all."""
        card = {
            "format": FORMAT,
            "medistill": __version__,
            "model": self.model,
            "sha256": self.sha256,
            "made_with": self.made_with,
            "findings": [
                {"name": name, **entry} for name, entry in self.described().items()
            ],  # a list: their order is that of the weights
        }
        write_checked(folder / WEIGHTS, self._packed())
        write_checked(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False) + "\n")

    def _packed(self) -> bytes:
        return save({name: np.ascontiguousarray(getattr(self, name), np.float64) for name in _TENSORS})


def read_classifier(folder: Path) -> Classifier:
    """A classifier that `Classifier.save` wrote; CallError if it is none, or not whole."""
    if not (folder / CARD).is_file():
        raise CallError(f"no classifier in {folder}: expected {CARD}, which `medistill label --shots` writes")
    try:
        card = json.loads(read_checked(folder / CARD))
        arrays = load(read_checked(folder / WEIGHTS))
        if card["format"] != FORMAT:
            raise CallError(f"the classifier in {folder} has format {card['format']}, expected {FORMAT}")
        entries = card["findings"]
        names = tuple(entry.pop("name") for entry in entries)
        basis = tuple(
            Basis(**{key: value for key, value in entry.items() if key != "threshold"}) for entry in entries
        )
        classifier = Classifier(
            findings=names, basis=basis, made_with=card["made_with"], model=card["model"], **arrays
        )
        if classifier.sha256 != card["sha256"]:
            raise CallError(f"{WEIGHTS} and {CARD} in {folder} do not belong together: make them anew")
    except CallError:
        raise
    except Exception as error:  # safetensors has errors of its own; a changed file raises a dozen more
        raise CallError(f"the classifier in {folder} is damaged ({type(error).__name__})") from error
    return classifier


def checked_finding(name: str, known: Sequence[str]) -> str:
    """The name, if it is known; else a CallError that lists those that are."""
    if name not in known:
        raise CallError(f"no finding '{name}' there; it has {', '.join(known) or 'none'}")
    return name
