"""From prompt scores to probabilities and decisions."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit

_RIDGE = 1e-5  # keeps slope and biases finite where scores separate the validation labels
BINS = 15


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """probability = sigmoid(slope * score + bias of the finding); present from the finding's threshold on."""

    slope: float
    bias: Float[np.ndarray, " f"]
    threshold: Float[np.ndarray, " f"]
    origin: str

    def probability(self, scores: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
        return expit(self.slope * scores.astype(np.float64) + self.bias)

    def of(self, chosen: Bool[np.ndarray, " f"]) -> "Calibration":
        """That of some of the findings."""
        return replace(self, bias=self.bias[chosen], threshold=self.threshold[chosen])


def uncalibrated(scale: float | None, findings: int) -> Calibration:
    """The model's own scale, no bias, threshold 0.5: all there is without labeled validation studies."""
    scaled = "scale 1, for the model states none" if scale is None else "the model's own scale"
    origin, scale = f"not fitted (no labeled validation split): {scaled}, threshold 0.5", scale or 1.0
    return Calibration(slope=scale, bias=np.zeros(findings), threshold=np.full(findings, 0.5), origin=origin)


def fit_calibration(scores: Float[np.ndarray, "n f"], labels: Float[np.ndarray, "n f"]) -> Calibration:
    """One slope for all findings and a bias for each by maximum likelihood; thresholds by the best F1.

    Each finding keeps the order of its scores, so no AUROC depends on this.
    """
    stated = (labels == 0) | (labels == 1)
    spread = float(scores[stated].std()) or 1.0
    z, y = scores.astype(np.float64) / spread, (labels == 1).astype(np.float64)

    def loss(theta: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        logit = theta[0] * z + theta[1:]
        nats = np.where(stated, np.logaddexp(0, logit) - y * logit, 0.0).sum() / stated.sum()
        error = np.where(stated, expit(logit) - y, 0.0) / stated.sum()
        slope = np.append((error * z).sum(), error.sum(axis=0))
        return nats + _RIDGE / 2 * (theta @ theta), slope + _RIDGE * theta

    start = np.zeros(1 + z.shape[1])
    # A slope below 0 would turn the order of the scores around, and with it the AUROC.
    bounds = [(0.0, None)] + [(None, None)] * z.shape[1]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    slope, bias = float(theta[0] / spread), theta[1:]
    probability = expit(slope * scores.astype(np.float64) + bias)
    columns = [best_f1_threshold(p[s], t[s]) for p, s, t in zip(probability.T, stated.T, y.T, strict=True)]
    origin = "fitted on validation: one slope, a bias per finding, the threshold of each finding's best F1"
    return Calibration(slope=slope, bias=bias, threshold=np.array(columns), origin=origin)


def best_f1_threshold(probability: Float[np.ndarray, " n"], present: Float[np.ndarray, " n"]) -> float:
    """The cut with the best F1, midway between two neighbors; 0.5 where a class is missing."""
    if not 0 < present.sum() < len(present):
        return 0.5
    cuts = np.unique(probability)[::-1]
    said = probability[:, None] >= cuts
    f1 = 2 * present @ said / (said.sum(axis=0) + present.sum())
    best = int(f1.argmax())
    below = cuts[best + 1] if best + 1 < len(cuts) else 0.0
    return float((cuts[best] + below) / 2)


def bin_sums(
    probability: Float[np.ndarray, "n f"], labels: Float[np.ndarray, "n f"], bins: int = BINS
) -> Float[np.ndarray, "3 bins n"]:
    """For each case and equal-width bin: how many findings, their probability, how many present."""
    stated = (labels == 0) | (labels == 1)
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    inside = stated & (place == np.arange(bins)[:, None, None])
    return np.stack(
        [inside.sum(axis=2), (inside * probability).sum(axis=2), (inside & (labels == 1)).sum(axis=2)]
    )
