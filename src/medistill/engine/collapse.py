"""Notice a run that learns nothing any more, and say why."""

import math
from collections.abc import Mapping

from medistill.errors import MedistillError

PATIENCE = 3
"""Validations in a row."""
EARLIEST = 500
"""Optimizer steps before which no verdict is passed: a slow start looks just like a collapse."""
SAME = 0.99
"""Mean cosine between embeddings of different pairs above which they are taken for one point."""
ENOUGH = 100
"""Validation pairs from which a loss tells: on a few dozen, overfitting looks like a blind guess."""


def check_finite(loss: float, step: int) -> None:
    """MedistillError naming the likely cause if the loss is not a number."""
    if not math.isfinite(loss):
        raise MedistillError(
            f"the loss is {loss} at optimizer step {step}: most likely the learning rate is too high or fp16 "
            "overflowed; lower --lr, lengthen --warmup, or use --precision 32"
        )


class CollapseWatch:
    """Stops a run whose embeddings have become one point or carry no information.

    At a random start a text tower's embeddings already have a mean cosine of .98 and more, so that alone
    means nothing: recall within noise of chance, several times in a row after warm-up, must go with it.
    """

    def __init__(self, suspicious: int = 0):
        self.suspicious = suspicious

    def look(self, metrics: Mapping[str, float], *, warm: bool) -> None:
        """Take in one validation; MedistillError at the last of `PATIENCE` suspicious ones."""
        self.suspicious = self.suspicious + 1 if warm and _suspicious(metrics) else 0
        if self.suspicious >= PATIENCE:
            raise MedistillError(
                f"training has collapsed: at {PATIENCE} validations in a row recall@10 was within noise of "
                f"chance ({metrics['i2t_r@10']:.3f}, chance {metrics['chance_r@10']:.3f}), the mean cosine "
                f"{metrics['mean_cosine']:.3f}; lower --lr or --alpha (msd), shorten --queue, or slow the "
                "teacher (moco: --momentum .999 --momentum-end .999)"
            )


def _suspicious(metrics: Mapping[str, float]) -> bool:
    """One point or the loss of a blind guess, and recall a blind guess would reach.

    Too few validation pairs to tell recall from chance are no ground for suspicion.
    """
    n, chance = metrics["n"], metrics["chance_r@10"]
    # Two standard errors of a proportion over n queries.
    noise = 2 * math.sqrt(chance * (1 - chance) / n)
    blind = metrics["mean_cosine"] > SAME or (n >= ENOUGH and metrics["loss"] > 0.99 * math.log(n))
    return blind and chance + noise < 1 and metrics["i2t_r@10"] <= chance + noise
