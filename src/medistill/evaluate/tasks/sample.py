"""The cases of a split through a model, and how they are resampled."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from medistill.data.studies import Studies
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.statistics.resample import Task, resampled


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What every task is given: cases with the embeddings of their images, and their resamples."""

    split: str
    rows: Any
    """`data.corpus.Rows` of that split."""
    studies: Studies
    images: Float32[np.ndarray, "n d"]
    resamples: int
    seed: int

    def over_patients(self, task: Task) -> Metrics:
        """The task's figures over resamples of the cases' patients: the same ones for every task."""
        return resampled(task, self.studies.patient_ids, resamples=self.resamples, seed=self.seed)
